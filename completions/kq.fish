# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_kq_global_optspecs
    string join \n b/brokers= client-id= timeout= X= F/config-file= tls no-tls tls-ca= tls-cert= tls-key= tls-key-password= tls-insecure sasl-mechanism= sasl-username= sasl-password= sasl-password-file= q/quiet v/verbose log-format= color= h/help V/version
end

function __fish_kq_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_kq_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_kq_using_subcommand
    set -l cmd (__fish_kq_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c kq -n "__fish_kq_needs_command" -s b -l brokers -d 'Brokers to start from, comma-separated [env: KQ_BROKERS] [default: localhost:9092]' -r
complete -c kq -n "__fish_kq_needs_command" -l client-id -d 'The client\'s name in the brokers\' logs [env: KQ_CLIENT_ID] [default: kq]' -r
complete -c kq -n "__fish_kq_needs_command" -l timeout -d 'Limit for finding the cluster, and for each request: 10s, 500ms, 2m [env: KQ_TIMEOUT] [default: 10s]' -r
complete -c kq -n "__fish_kq_needs_command" -s X -d 'Any librdkafka property, repeatable [env: KQ_X=name=value,name=value]; `-X list` prints them' -r
complete -c kq -n "__fish_kq_needs_command" -s F -l config-file -d 'A file with properties of librdkafka, kcat or Java; variables and flags rank above it [env: KQ_CONFIG_FILE]' -r
complete -c kq -n "__fish_kq_needs_command" -l tls-ca -d 'CA certificates to trust instead of the system\'s, PEM; turns TLS on [env: KQ_TLS_CA]' -r
complete -c kq -n "__fish_kq_needs_command" -l tls-cert -d 'The client\'s certificate, PEM [env: KQ_TLS_CERT]' -r
complete -c kq -n "__fish_kq_needs_command" -l tls-key -d 'The private key of that certificate, PEM; not needed if it is in the same file [env: KQ_TLS_KEY]' -r
complete -c kq -n "__fish_kq_needs_command" -l tls-key-password -d 'The password of that key. Other users of this machine can see flags, so prefer the variable [env: KQ_TLS_KEY_PASSWORD]' -r
complete -c kq -n "__fish_kq_needs_command" -l sasl-mechanism -d 'PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER; turns TLS on unless all brokers are on loopback [env: KQ_SASL_MECHANISM]' -r
complete -c kq -n "__fish_kq_needs_command" -l sasl-username -d 'User to log in as [env: KQ_SASL_USERNAME]' -r
complete -c kq -n "__fish_kq_needs_command" -l sasl-password -d 'Password. Other users of this machine can see flags, so prefer the file or the variable [env: KQ_SASL_PASSWORD]' -r
complete -c kq -n "__fish_kq_needs_command" -l sasl-password-file -d 'File that contains the password [env: KQ_SASL_PASSWORD_FILE]' -r
complete -c kq -n "__fish_kq_needs_command" -l log-format -d 'How notes and errors are written to stderr [env: KQ_LOG_FORMAT] [default: text]' -r -f -a "text\t'Lines after `kq: `; those of worker, of dev and of a consume that follows begin with the time (RFC 3339, UTC) where stderr is neither a terminal nor systemd\'s journal'
json\t'One JSON object a line: time, level (error, info, debug, trace; command for what a worker\'s COMMAND wrote), message, and topic, partition, offset where it is about one; repeated where it counts'"
complete -c kq -n "__fish_kq_needs_command" -l color -d 'Colours in help and errors; NO_COLOR is honoured [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c kq -n "__fish_kq_needs_command" -l tls -d 'Encrypt the connection [env: KQ_TLS=1]'
complete -c kq -n "__fish_kq_needs_command" -l no-tls -d 'Do not encrypt the connection, even with SASL to another machine [env: KQ_TLS=0]'
complete -c kq -n "__fish_kq_needs_command" -l tls-insecure -d 'Trust any certificate: anyone on the network path can then read and change records [env: KQ_TLS_INSECURE=1]'
complete -c kq -n "__fish_kq_needs_command" -s q -l quiet -d 'Hide notes and summaries; errors stay'
complete -c kq -n "__fish_kq_needs_command" -s v -l verbose -d 'Print more notes; repeat it for librdkafka\'s own log'
complete -c kq -n "__fish_kq_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kq -n "__fish_kq_needs_command" -s V -l version -d 'Print version'
complete -c kq -n "__fish_kq_needs_command" -f -a "topic" -d 'Create, list, describe, alter and delete topics'
complete -c kq -n "__fish_kq_needs_command" -f -a "produce" -d 'Put records into a topic: lines of stdin or of files'
complete -c kq -n "__fish_kq_needs_command" -f -a "consume" -d 'Get records out of topics: to stdout'
complete -c kq -n "__fish_kq_needs_command" -f -a "worker" -d 'Run a command for each record'
complete -c kq -n "__fish_kq_needs_command" -f -a "serve" -d 'Publish what is sent over HTTP, and answer once the cluster has it'
complete -c kq -n "__fish_kq_needs_command" -f -a "config" -d 'Look at the configuration'
complete -c kq -n "__fish_kq_needs_command" -f -a "dev" -d 'Run an embedded Kafka-compatible broker, for development'
complete -c kq -n "__fish_kq_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c kq -n "__fish_kq_using_subcommand topic; and not __fish_seen_subcommand_from create list ls describe alter delete rm help" -s b -l brokers -d 'Brokers to start from, comma-separated [env: KQ_BROKERS] [default: localhost:9092]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and not __fish_seen_subcommand_from create list ls describe alter delete rm help" -l client-id -d 'The client\'s name in the brokers\' logs [env: KQ_CLIENT_ID] [default: kq]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and not __fish_seen_subcommand_from create list ls describe alter delete rm help" -l timeout -d 'Limit for finding the cluster, and for each request: 10s, 500ms, 2m [env: KQ_TIMEOUT] [default: 10s]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and not __fish_seen_subcommand_from create list ls describe alter delete rm help" -s X -d 'Any librdkafka property, repeatable [env: KQ_X=name=value,name=value]; `-X list` prints them' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and not __fish_seen_subcommand_from create list ls describe alter delete rm help" -s F -l config-file -d 'A file with properties of librdkafka, kcat or Java; variables and flags rank above it [env: KQ_CONFIG_FILE]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and not __fish_seen_subcommand_from create list ls describe alter delete rm help" -l tls-ca -d 'CA certificates to trust instead of the system\'s, PEM; turns TLS on [env: KQ_TLS_CA]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and not __fish_seen_subcommand_from create list ls describe alter delete rm help" -l tls-cert -d 'The client\'s certificate, PEM [env: KQ_TLS_CERT]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and not __fish_seen_subcommand_from create list ls describe alter delete rm help" -l tls-key -d 'The private key of that certificate, PEM; not needed if it is in the same file [env: KQ_TLS_KEY]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and not __fish_seen_subcommand_from create list ls describe alter delete rm help" -l tls-key-password -d 'The password of that key. Other users of this machine can see flags, so prefer the variable [env: KQ_TLS_KEY_PASSWORD]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and not __fish_seen_subcommand_from create list ls describe alter delete rm help" -l sasl-mechanism -d 'PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER; turns TLS on unless all brokers are on loopback [env: KQ_SASL_MECHANISM]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and not __fish_seen_subcommand_from create list ls describe alter delete rm help" -l sasl-username -d 'User to log in as [env: KQ_SASL_USERNAME]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and not __fish_seen_subcommand_from create list ls describe alter delete rm help" -l sasl-password -d 'Password. Other users of this machine can see flags, so prefer the file or the variable [env: KQ_SASL_PASSWORD]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and not __fish_seen_subcommand_from create list ls describe alter delete rm help" -l sasl-password-file -d 'File that contains the password [env: KQ_SASL_PASSWORD_FILE]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and not __fish_seen_subcommand_from create list ls describe alter delete rm help" -l log-format -d 'How notes and errors are written to stderr [env: KQ_LOG_FORMAT] [default: text]' -r -f -a "text\t'Lines after `kq: `; those of worker, of dev and of a consume that follows begin with the time (RFC 3339, UTC) where stderr is neither a terminal nor systemd\'s journal'
json\t'One JSON object a line: time, level (error, info, debug, trace; command for what a worker\'s COMMAND wrote), message, and topic, partition, offset where it is about one; repeated where it counts'"
complete -c kq -n "__fish_kq_using_subcommand topic; and not __fish_seen_subcommand_from create list ls describe alter delete rm help" -l color -d 'Colours in help and errors; NO_COLOR is honoured [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c kq -n "__fish_kq_using_subcommand topic; and not __fish_seen_subcommand_from create list ls describe alter delete rm help" -l tls -d 'Encrypt the connection [env: KQ_TLS=1]'
complete -c kq -n "__fish_kq_using_subcommand topic; and not __fish_seen_subcommand_from create list ls describe alter delete rm help" -l no-tls -d 'Do not encrypt the connection, even with SASL to another machine [env: KQ_TLS=0]'
complete -c kq -n "__fish_kq_using_subcommand topic; and not __fish_seen_subcommand_from create list ls describe alter delete rm help" -l tls-insecure -d 'Trust any certificate: anyone on the network path can then read and change records [env: KQ_TLS_INSECURE=1]'
complete -c kq -n "__fish_kq_using_subcommand topic; and not __fish_seen_subcommand_from create list ls describe alter delete rm help" -s q -l quiet -d 'Hide notes and summaries; errors stay'
complete -c kq -n "__fish_kq_using_subcommand topic; and not __fish_seen_subcommand_from create list ls describe alter delete rm help" -s v -l verbose -d 'Print more notes; repeat it for librdkafka\'s own log'
complete -c kq -n "__fish_kq_using_subcommand topic; and not __fish_seen_subcommand_from create list ls describe alter delete rm help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kq -n "__fish_kq_using_subcommand topic; and not __fish_seen_subcommand_from create list ls describe alter delete rm help" -s V -l version -d 'Print version'
complete -c kq -n "__fish_kq_using_subcommand topic; and not __fish_seen_subcommand_from create list ls describe alter delete rm help" -f -a "create" -d 'Create topics, and wait until they can be used'
complete -c kq -n "__fish_kq_using_subcommand topic; and not __fish_seen_subcommand_from create list ls describe alter delete rm help" -f -a "list" -d 'List topics with their partitions and replication factor'
complete -c kq -n "__fish_kq_using_subcommand topic; and not __fish_seen_subcommand_from create list ls describe alter delete rm help" -f -a "ls" -d 'List topics with their partitions and replication factor'
complete -c kq -n "__fish_kq_using_subcommand topic; and not __fish_seen_subcommand_from create list ls describe alter delete rm help" -f -a "describe" -d 'Show partitions, leaders, replicas, watermarks, and configuration set on the topic'
complete -c kq -n "__fish_kq_using_subcommand topic; and not __fish_seen_subcommand_from create list ls describe alter delete rm help" -f -a "alter" -d 'Give a topic more partitions, or change its configuration'
complete -c kq -n "__fish_kq_using_subcommand topic; and not __fish_seen_subcommand_from create list ls describe alter delete rm help" -f -a "delete" -d 'Delete topics and their records: only those named here, never KQ_TOPIC'
complete -c kq -n "__fish_kq_using_subcommand topic; and not __fish_seen_subcommand_from create list ls describe alter delete rm help" -f -a "rm" -d 'Delete topics and their records: only those named here, never KQ_TOPIC'
complete -c kq -n "__fish_kq_using_subcommand topic; and not __fish_seen_subcommand_from create list ls describe alter delete rm help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from create" -s t -l topic -d 'The same as a flag, repeatable' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from create" -s p -l partitions -d 'How many partitions [default: the broker\'s num.partitions]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from create" -l replication-factor -l rf -d 'How many replicas of each partition [default: the broker\'s default.replication.factor]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from create" -l config -d 'The topic\'s own configuration, repeatable: retention.ms=86400000, cleanup.policy=compact …' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from create" -s b -l brokers -d 'Brokers to start from, comma-separated [env: KQ_BROKERS] [default: localhost:9092]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from create" -l client-id -d 'The client\'s name in the brokers\' logs [env: KQ_CLIENT_ID] [default: kq]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from create" -l timeout -d 'Limit for finding the cluster, and for each request: 10s, 500ms, 2m [env: KQ_TIMEOUT] [default: 10s]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from create" -s X -d 'Any librdkafka property, repeatable [env: KQ_X=name=value,name=value]; `-X list` prints them' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from create" -s F -l config-file -d 'A file with properties of librdkafka, kcat or Java; variables and flags rank above it [env: KQ_CONFIG_FILE]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from create" -l tls-ca -d 'CA certificates to trust instead of the system\'s, PEM; turns TLS on [env: KQ_TLS_CA]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from create" -l tls-cert -d 'The client\'s certificate, PEM [env: KQ_TLS_CERT]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from create" -l tls-key -d 'The private key of that certificate, PEM; not needed if it is in the same file [env: KQ_TLS_KEY]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from create" -l tls-key-password -d 'The password of that key. Other users of this machine can see flags, so prefer the variable [env: KQ_TLS_KEY_PASSWORD]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from create" -l sasl-mechanism -d 'PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER; turns TLS on unless all brokers are on loopback [env: KQ_SASL_MECHANISM]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from create" -l sasl-username -d 'User to log in as [env: KQ_SASL_USERNAME]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from create" -l sasl-password -d 'Password. Other users of this machine can see flags, so prefer the file or the variable [env: KQ_SASL_PASSWORD]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from create" -l sasl-password-file -d 'File that contains the password [env: KQ_SASL_PASSWORD_FILE]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from create" -l log-format -d 'How notes and errors are written to stderr [env: KQ_LOG_FORMAT] [default: text]' -r -f -a "text\t'Lines after `kq: `; those of worker, of dev and of a consume that follows begin with the time (RFC 3339, UTC) where stderr is neither a terminal nor systemd\'s journal'
json\t'One JSON object a line: time, level (error, info, debug, trace; command for what a worker\'s COMMAND wrote), message, and topic, partition, offset where it is about one; repeated where it counts'"
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from create" -l color -d 'Colours in help and errors; NO_COLOR is honoured [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from create" -l if-not-exists -d 'Accept a topic that exists already; a message says where its partitions are not --partitions'
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from create" -l tls -d 'Encrypt the connection [env: KQ_TLS=1]'
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from create" -l no-tls -d 'Do not encrypt the connection, even with SASL to another machine [env: KQ_TLS=0]'
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from create" -l tls-insecure -d 'Trust any certificate: anyone on the network path can then read and change records [env: KQ_TLS_INSECURE=1]'
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from create" -s q -l quiet -d 'Hide notes and summaries; errors stay'
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from create" -s v -l verbose -d 'Print more notes; repeat it for librdkafka\'s own log'
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from create" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from create" -s V -l version -d 'Print version'
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from list" -s b -l brokers -d 'Brokers to start from, comma-separated [env: KQ_BROKERS] [default: localhost:9092]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from list" -l client-id -d 'The client\'s name in the brokers\' logs [env: KQ_CLIENT_ID] [default: kq]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from list" -l timeout -d 'Limit for finding the cluster, and for each request: 10s, 500ms, 2m [env: KQ_TIMEOUT] [default: 10s]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from list" -s X -d 'Any librdkafka property, repeatable [env: KQ_X=name=value,name=value]; `-X list` prints them' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from list" -s F -l config-file -d 'A file with properties of librdkafka, kcat or Java; variables and flags rank above it [env: KQ_CONFIG_FILE]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from list" -l tls-ca -d 'CA certificates to trust instead of the system\'s, PEM; turns TLS on [env: KQ_TLS_CA]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from list" -l tls-cert -d 'The client\'s certificate, PEM [env: KQ_TLS_CERT]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from list" -l tls-key -d 'The private key of that certificate, PEM; not needed if it is in the same file [env: KQ_TLS_KEY]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from list" -l tls-key-password -d 'The password of that key. Other users of this machine can see flags, so prefer the variable [env: KQ_TLS_KEY_PASSWORD]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from list" -l sasl-mechanism -d 'PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER; turns TLS on unless all brokers are on loopback [env: KQ_SASL_MECHANISM]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from list" -l sasl-username -d 'User to log in as [env: KQ_SASL_USERNAME]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from list" -l sasl-password -d 'Password. Other users of this machine can see flags, so prefer the file or the variable [env: KQ_SASL_PASSWORD]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from list" -l sasl-password-file -d 'File that contains the password [env: KQ_SASL_PASSWORD_FILE]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from list" -l log-format -d 'How notes and errors are written to stderr [env: KQ_LOG_FORMAT] [default: text]' -r -f -a "text\t'Lines after `kq: `; those of worker, of dev and of a consume that follows begin with the time (RFC 3339, UTC) where stderr is neither a terminal nor systemd\'s journal'
json\t'One JSON object a line: time, level (error, info, debug, trace; command for what a worker\'s COMMAND wrote), message, and topic, partition, offset where it is about one; repeated where it counts'"
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from list" -l color -d 'Colours in help and errors; NO_COLOR is honoured [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from list" -l internal -d 'List Kafka\'s internal topics too, whose names begin with __'
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from list" -l json -d 'One JSON object a line: topic, partitions, replication_factor, internal'
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from list" -l tls -d 'Encrypt the connection [env: KQ_TLS=1]'
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from list" -l no-tls -d 'Do not encrypt the connection, even with SASL to another machine [env: KQ_TLS=0]'
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from list" -l tls-insecure -d 'Trust any certificate: anyone on the network path can then read and change records [env: KQ_TLS_INSECURE=1]'
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Hide notes and summaries; errors stay'
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from list" -s v -l verbose -d 'Print more notes; repeat it for librdkafka\'s own log'
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from list" -s V -l version -d 'Print version'
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from ls" -s b -l brokers -d 'Brokers to start from, comma-separated [env: KQ_BROKERS] [default: localhost:9092]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from ls" -l client-id -d 'The client\'s name in the brokers\' logs [env: KQ_CLIENT_ID] [default: kq]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from ls" -l timeout -d 'Limit for finding the cluster, and for each request: 10s, 500ms, 2m [env: KQ_TIMEOUT] [default: 10s]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from ls" -s X -d 'Any librdkafka property, repeatable [env: KQ_X=name=value,name=value]; `-X list` prints them' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from ls" -s F -l config-file -d 'A file with properties of librdkafka, kcat or Java; variables and flags rank above it [env: KQ_CONFIG_FILE]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from ls" -l tls-ca -d 'CA certificates to trust instead of the system\'s, PEM; turns TLS on [env: KQ_TLS_CA]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from ls" -l tls-cert -d 'The client\'s certificate, PEM [env: KQ_TLS_CERT]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from ls" -l tls-key -d 'The private key of that certificate, PEM; not needed if it is in the same file [env: KQ_TLS_KEY]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from ls" -l tls-key-password -d 'The password of that key. Other users of this machine can see flags, so prefer the variable [env: KQ_TLS_KEY_PASSWORD]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from ls" -l sasl-mechanism -d 'PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER; turns TLS on unless all brokers are on loopback [env: KQ_SASL_MECHANISM]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from ls" -l sasl-username -d 'User to log in as [env: KQ_SASL_USERNAME]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from ls" -l sasl-password -d 'Password. Other users of this machine can see flags, so prefer the file or the variable [env: KQ_SASL_PASSWORD]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from ls" -l sasl-password-file -d 'File that contains the password [env: KQ_SASL_PASSWORD_FILE]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from ls" -l log-format -d 'How notes and errors are written to stderr [env: KQ_LOG_FORMAT] [default: text]' -r -f -a "text\t'Lines after `kq: `; those of worker, of dev and of a consume that follows begin with the time (RFC 3339, UTC) where stderr is neither a terminal nor systemd\'s journal'
json\t'One JSON object a line: time, level (error, info, debug, trace; command for what a worker\'s COMMAND wrote), message, and topic, partition, offset where it is about one; repeated where it counts'"
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from ls" -l color -d 'Colours in help and errors; NO_COLOR is honoured [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from ls" -l internal -d 'List Kafka\'s internal topics too, whose names begin with __'
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from ls" -l json -d 'One JSON object a line: topic, partitions, replication_factor, internal'
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from ls" -l tls -d 'Encrypt the connection [env: KQ_TLS=1]'
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from ls" -l no-tls -d 'Do not encrypt the connection, even with SASL to another machine [env: KQ_TLS=0]'
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from ls" -l tls-insecure -d 'Trust any certificate: anyone on the network path can then read and change records [env: KQ_TLS_INSECURE=1]'
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from ls" -s q -l quiet -d 'Hide notes and summaries; errors stay'
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from ls" -s v -l verbose -d 'Print more notes; repeat it for librdkafka\'s own log'
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from ls" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from ls" -s V -l version -d 'Print version'
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from describe" -s t -l topic -d 'The same as a flag, repeatable' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from describe" -s b -l brokers -d 'Brokers to start from, comma-separated [env: KQ_BROKERS] [default: localhost:9092]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from describe" -l client-id -d 'The client\'s name in the brokers\' logs [env: KQ_CLIENT_ID] [default: kq]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from describe" -l timeout -d 'Limit for finding the cluster, and for each request: 10s, 500ms, 2m [env: KQ_TIMEOUT] [default: 10s]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from describe" -s X -d 'Any librdkafka property, repeatable [env: KQ_X=name=value,name=value]; `-X list` prints them' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from describe" -s F -l config-file -d 'A file with properties of librdkafka, kcat or Java; variables and flags rank above it [env: KQ_CONFIG_FILE]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from describe" -l tls-ca -d 'CA certificates to trust instead of the system\'s, PEM; turns TLS on [env: KQ_TLS_CA]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from describe" -l tls-cert -d 'The client\'s certificate, PEM [env: KQ_TLS_CERT]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from describe" -l tls-key -d 'The private key of that certificate, PEM; not needed if it is in the same file [env: KQ_TLS_KEY]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from describe" -l tls-key-password -d 'The password of that key. Other users of this machine can see flags, so prefer the variable [env: KQ_TLS_KEY_PASSWORD]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from describe" -l sasl-mechanism -d 'PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER; turns TLS on unless all brokers are on loopback [env: KQ_SASL_MECHANISM]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from describe" -l sasl-username -d 'User to log in as [env: KQ_SASL_USERNAME]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from describe" -l sasl-password -d 'Password. Other users of this machine can see flags, so prefer the file or the variable [env: KQ_SASL_PASSWORD]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from describe" -l sasl-password-file -d 'File that contains the password [env: KQ_SASL_PASSWORD_FILE]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from describe" -l log-format -d 'How notes and errors are written to stderr [env: KQ_LOG_FORMAT] [default: text]' -r -f -a "text\t'Lines after `kq: `; those of worker, of dev and of a consume that follows begin with the time (RFC 3339, UTC) where stderr is neither a terminal nor systemd\'s journal'
json\t'One JSON object a line: time, level (error, info, debug, trace; command for what a worker\'s COMMAND wrote), message, and topic, partition, offset where it is about one; repeated where it counts'"
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from describe" -l color -d 'Colours in help and errors; NO_COLOR is honoured [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from describe" -l json -d 'One JSON object a line: topic, replication_factor, config, partitions'
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from describe" -l tls -d 'Encrypt the connection [env: KQ_TLS=1]'
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from describe" -l no-tls -d 'Do not encrypt the connection, even with SASL to another machine [env: KQ_TLS=0]'
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from describe" -l tls-insecure -d 'Trust any certificate: anyone on the network path can then read and change records [env: KQ_TLS_INSECURE=1]'
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from describe" -s q -l quiet -d 'Hide notes and summaries; errors stay'
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from describe" -s v -l verbose -d 'Print more notes; repeat it for librdkafka\'s own log'
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from describe" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from describe" -s V -l version -d 'Print version'
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from alter" -s t -l topic -d 'The same as a flag, repeatable' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from alter" -s p -l partitions -d 'The new total number of partitions' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from alter" -l config -d 'Set a configuration on the topic, repeatable; others do not change' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from alter" -l delete-config -d 'Remove a configuration from the topic, so that the broker\'s value applies again; repeatable' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from alter" -s b -l brokers -d 'Brokers to start from, comma-separated [env: KQ_BROKERS] [default: localhost:9092]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from alter" -l client-id -d 'The client\'s name in the brokers\' logs [env: KQ_CLIENT_ID] [default: kq]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from alter" -l timeout -d 'Limit for finding the cluster, and for each request: 10s, 500ms, 2m [env: KQ_TIMEOUT] [default: 10s]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from alter" -s X -d 'Any librdkafka property, repeatable [env: KQ_X=name=value,name=value]; `-X list` prints them' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from alter" -s F -l config-file -d 'A file with properties of librdkafka, kcat or Java; variables and flags rank above it [env: KQ_CONFIG_FILE]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from alter" -l tls-ca -d 'CA certificates to trust instead of the system\'s, PEM; turns TLS on [env: KQ_TLS_CA]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from alter" -l tls-cert -d 'The client\'s certificate, PEM [env: KQ_TLS_CERT]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from alter" -l tls-key -d 'The private key of that certificate, PEM; not needed if it is in the same file [env: KQ_TLS_KEY]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from alter" -l tls-key-password -d 'The password of that key. Other users of this machine can see flags, so prefer the variable [env: KQ_TLS_KEY_PASSWORD]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from alter" -l sasl-mechanism -d 'PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER; turns TLS on unless all brokers are on loopback [env: KQ_SASL_MECHANISM]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from alter" -l sasl-username -d 'User to log in as [env: KQ_SASL_USERNAME]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from alter" -l sasl-password -d 'Password. Other users of this machine can see flags, so prefer the file or the variable [env: KQ_SASL_PASSWORD]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from alter" -l sasl-password-file -d 'File that contains the password [env: KQ_SASL_PASSWORD_FILE]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from alter" -l log-format -d 'How notes and errors are written to stderr [env: KQ_LOG_FORMAT] [default: text]' -r -f -a "text\t'Lines after `kq: `; those of worker, of dev and of a consume that follows begin with the time (RFC 3339, UTC) where stderr is neither a terminal nor systemd\'s journal'
json\t'One JSON object a line: time, level (error, info, debug, trace; command for what a worker\'s COMMAND wrote), message, and topic, partition, offset where it is about one; repeated where it counts'"
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from alter" -l color -d 'Colours in help and errors; NO_COLOR is honoured [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from alter" -l tls -d 'Encrypt the connection [env: KQ_TLS=1]'
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from alter" -l no-tls -d 'Do not encrypt the connection, even with SASL to another machine [env: KQ_TLS=0]'
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from alter" -l tls-insecure -d 'Trust any certificate: anyone on the network path can then read and change records [env: KQ_TLS_INSECURE=1]'
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from alter" -s q -l quiet -d 'Hide notes and summaries; errors stay'
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from alter" -s v -l verbose -d 'Print more notes; repeat it for librdkafka\'s own log'
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from alter" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from alter" -s V -l version -d 'Print version'
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from delete" -s t -l topic -d 'The same as a flag, repeatable' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from delete" -s b -l brokers -d 'Brokers to start from, comma-separated [env: KQ_BROKERS] [default: localhost:9092]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from delete" -l client-id -d 'The client\'s name in the brokers\' logs [env: KQ_CLIENT_ID] [default: kq]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from delete" -l timeout -d 'Limit for finding the cluster, and for each request: 10s, 500ms, 2m [env: KQ_TIMEOUT] [default: 10s]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from delete" -s X -d 'Any librdkafka property, repeatable [env: KQ_X=name=value,name=value]; `-X list` prints them' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from delete" -s F -l config-file -d 'A file with properties of librdkafka, kcat or Java; variables and flags rank above it [env: KQ_CONFIG_FILE]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from delete" -l tls-ca -d 'CA certificates to trust instead of the system\'s, PEM; turns TLS on [env: KQ_TLS_CA]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from delete" -l tls-cert -d 'The client\'s certificate, PEM [env: KQ_TLS_CERT]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from delete" -l tls-key -d 'The private key of that certificate, PEM; not needed if it is in the same file [env: KQ_TLS_KEY]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from delete" -l tls-key-password -d 'The password of that key. Other users of this machine can see flags, so prefer the variable [env: KQ_TLS_KEY_PASSWORD]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from delete" -l sasl-mechanism -d 'PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER; turns TLS on unless all brokers are on loopback [env: KQ_SASL_MECHANISM]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from delete" -l sasl-username -d 'User to log in as [env: KQ_SASL_USERNAME]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from delete" -l sasl-password -d 'Password. Other users of this machine can see flags, so prefer the file or the variable [env: KQ_SASL_PASSWORD]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from delete" -l sasl-password-file -d 'File that contains the password [env: KQ_SASL_PASSWORD_FILE]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from delete" -l log-format -d 'How notes and errors are written to stderr [env: KQ_LOG_FORMAT] [default: text]' -r -f -a "text\t'Lines after `kq: `; those of worker, of dev and of a consume that follows begin with the time (RFC 3339, UTC) where stderr is neither a terminal nor systemd\'s journal'
json\t'One JSON object a line: time, level (error, info, debug, trace; command for what a worker\'s COMMAND wrote), message, and topic, partition, offset where it is about one; repeated where it counts'"
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from delete" -l color -d 'Colours in help and errors; NO_COLOR is honoured [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from delete" -l tls -d 'Encrypt the connection [env: KQ_TLS=1]'
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from delete" -l no-tls -d 'Do not encrypt the connection, even with SASL to another machine [env: KQ_TLS=0]'
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from delete" -l tls-insecure -d 'Trust any certificate: anyone on the network path can then read and change records [env: KQ_TLS_INSECURE=1]'
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from delete" -s q -l quiet -d 'Hide notes and summaries; errors stay'
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from delete" -s v -l verbose -d 'Print more notes; repeat it for librdkafka\'s own log'
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from delete" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from delete" -s V -l version -d 'Print version'
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from rm" -s t -l topic -d 'The same as a flag, repeatable' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from rm" -s b -l brokers -d 'Brokers to start from, comma-separated [env: KQ_BROKERS] [default: localhost:9092]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from rm" -l client-id -d 'The client\'s name in the brokers\' logs [env: KQ_CLIENT_ID] [default: kq]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from rm" -l timeout -d 'Limit for finding the cluster, and for each request: 10s, 500ms, 2m [env: KQ_TIMEOUT] [default: 10s]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from rm" -s X -d 'Any librdkafka property, repeatable [env: KQ_X=name=value,name=value]; `-X list` prints them' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from rm" -s F -l config-file -d 'A file with properties of librdkafka, kcat or Java; variables and flags rank above it [env: KQ_CONFIG_FILE]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from rm" -l tls-ca -d 'CA certificates to trust instead of the system\'s, PEM; turns TLS on [env: KQ_TLS_CA]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from rm" -l tls-cert -d 'The client\'s certificate, PEM [env: KQ_TLS_CERT]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from rm" -l tls-key -d 'The private key of that certificate, PEM; not needed if it is in the same file [env: KQ_TLS_KEY]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from rm" -l tls-key-password -d 'The password of that key. Other users of this machine can see flags, so prefer the variable [env: KQ_TLS_KEY_PASSWORD]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from rm" -l sasl-mechanism -d 'PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER; turns TLS on unless all brokers are on loopback [env: KQ_SASL_MECHANISM]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from rm" -l sasl-username -d 'User to log in as [env: KQ_SASL_USERNAME]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from rm" -l sasl-password -d 'Password. Other users of this machine can see flags, so prefer the file or the variable [env: KQ_SASL_PASSWORD]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from rm" -l sasl-password-file -d 'File that contains the password [env: KQ_SASL_PASSWORD_FILE]' -r
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from rm" -l log-format -d 'How notes and errors are written to stderr [env: KQ_LOG_FORMAT] [default: text]' -r -f -a "text\t'Lines after `kq: `; those of worker, of dev and of a consume that follows begin with the time (RFC 3339, UTC) where stderr is neither a terminal nor systemd\'s journal'
json\t'One JSON object a line: time, level (error, info, debug, trace; command for what a worker\'s COMMAND wrote), message, and topic, partition, offset where it is about one; repeated where it counts'"
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from rm" -l color -d 'Colours in help and errors; NO_COLOR is honoured [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from rm" -l tls -d 'Encrypt the connection [env: KQ_TLS=1]'
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from rm" -l no-tls -d 'Do not encrypt the connection, even with SASL to another machine [env: KQ_TLS=0]'
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from rm" -l tls-insecure -d 'Trust any certificate: anyone on the network path can then read and change records [env: KQ_TLS_INSECURE=1]'
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from rm" -s q -l quiet -d 'Hide notes and summaries; errors stay'
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from rm" -s v -l verbose -d 'Print more notes; repeat it for librdkafka\'s own log'
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from rm" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from rm" -s V -l version -d 'Print version'
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from help" -f -a "create" -d 'Create topics, and wait until they can be used'
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from help" -f -a "list" -d 'List topics with their partitions and replication factor'
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from help" -f -a "describe" -d 'Show partitions, leaders, replicas, watermarks, and configuration set on the topic'
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from help" -f -a "alter" -d 'Give a topic more partitions, or change its configuration'
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from help" -f -a "delete" -d 'Delete topics and their records: only those named here, never KQ_TOPIC'
complete -c kq -n "__fish_kq_using_subcommand topic; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c kq -n "__fish_kq_using_subcommand produce" -s t -l topic -d 'The topic; then all positionals are FILEs' -r
complete -c kq -n "__fish_kq_using_subcommand produce" -s D -l delimiter -d 'The string that ends a record in the input; may contain \\n \\t \\0 \\xNN' -r
complete -c kq -n "__fish_kq_using_subcommand produce" -s K -l key-delimiter -d 'Each record starts with its key, then this string (escapes as in -D)' -r
complete -c kq -n "__fish_kq_using_subcommand produce" -l null -d 'A value (with -K: or a key) equal to TOKEN is null: a tombstone' -r
complete -c kq -n "__fish_kq_using_subcommand produce" -l validate -d 'Send only values that are JSON (json), or that the JSON Schema in FILE accepts, formats included; tombstones are sent' -r
complete -c kq -n "__fish_kq_using_subcommand produce" -l on-invalid -d 'At a line that is not a valid record: stop (records before it are delivered, nothing after it is read), or skip (report it and continue)' -r -f -a "stop\t'Report it and read no more'
skip\t'Report it, count it, and read the next one'"
complete -c kq -n "__fish_kq_using_subcommand produce" -s k -l key -d 'The key of every record' -r
complete -c kq -n "__fish_kq_using_subcommand produce" -l key-from -d 'The key of each record is in its value, which is JSON, at this JSON pointer: json:/order/id. A string gives its text, anything else its bytes as they stand; null is no key. With -J: for records without a key' -r
complete -c kq -n "__fish_kq_using_subcommand produce" -s H -l header -d 'A header of every record, repeatable; NAME alone has a null value' -r
complete -c kq -n "__fish_kq_using_subcommand produce" -s p -l partition -d 'The partition of every record [default: the partitioner decides]' -r
complete -c kq -n "__fish_kq_using_subcommand produce" -l timestamp -d 'The timestamp of every record: epoch milliseconds, seconds as 1714564800s, RFC 3339, or a date in UTC [default: now]' -r
complete -c kq -n "__fish_kq_using_subcommand produce" -l value-codec -d 'Compress each value by itself, and add a content-encoding header' -r -f -a "snappy\t''"
complete -c kq -n "__fish_kq_using_subcommand produce" -s z -l compression -d 'Compression of batches on the wire: none, gzip, snappy, lz4 or zstd; with :LEVEL if the codec has levels [default: snappy]' -r
complete -c kq -n "__fish_kq_using_subcommand produce" -l partitioner -d 'Which partition a key goes to: murmur2 is Java\'s, consistent is kcat\'s [default: murmur2_random]' -r -f -a "murmur2_random\t''
murmur2\t''
consistent_random\t''
consistent\t''
fnv1a_random\t''
fnv1a\t''
random\t''"
complete -c kq -n "__fish_kq_using_subcommand produce" -l acks -d 'How many replicas must have a record before it is acknowledged: all, 1, or 0 (turns idempotence off) [default: all]' -r -f -a "all\t''
-1\t''
1\t''
0\t''"
complete -c kq -n "__fish_kq_using_subcommand produce" -l delivery-timeout -d 'How long a record may take to be acknowledged before it counts as failed [default: 120s]' -r
complete -c kq -n "__fish_kq_using_subcommand produce" -s n -s c -l count -d 'Stop after COUNT records' -r
complete -c kq -n "__fish_kq_using_subcommand produce" -l rate -d 'At most this many records a second' -r
complete -c kq -n "__fish_kq_using_subcommand produce" -l report -d 'Print file, line, topic, partition and offset of every acknowledged record on stdout, one JSON object in a line. If the reader of stdout closes it, the records are still sent' -r -f -a "json\t''"
complete -c kq -n "__fish_kq_using_subcommand produce" -s b -l brokers -d 'Brokers to start from, comma-separated [env: KQ_BROKERS] [default: localhost:9092]' -r
complete -c kq -n "__fish_kq_using_subcommand produce" -l client-id -d 'The client\'s name in the brokers\' logs [env: KQ_CLIENT_ID] [default: kq]' -r
complete -c kq -n "__fish_kq_using_subcommand produce" -l timeout -d 'Limit for finding the cluster, and for each request: 10s, 500ms, 2m [env: KQ_TIMEOUT] [default: 10s]' -r
complete -c kq -n "__fish_kq_using_subcommand produce" -s X -d 'Any librdkafka property, repeatable [env: KQ_X=name=value,name=value]; `-X list` prints them' -r
complete -c kq -n "__fish_kq_using_subcommand produce" -s F -l config-file -d 'A file with properties of librdkafka, kcat or Java; variables and flags rank above it [env: KQ_CONFIG_FILE]' -r
complete -c kq -n "__fish_kq_using_subcommand produce" -l tls-ca -d 'CA certificates to trust instead of the system\'s, PEM; turns TLS on [env: KQ_TLS_CA]' -r
complete -c kq -n "__fish_kq_using_subcommand produce" -l tls-cert -d 'The client\'s certificate, PEM [env: KQ_TLS_CERT]' -r
complete -c kq -n "__fish_kq_using_subcommand produce" -l tls-key -d 'The private key of that certificate, PEM; not needed if it is in the same file [env: KQ_TLS_KEY]' -r
complete -c kq -n "__fish_kq_using_subcommand produce" -l tls-key-password -d 'The password of that key. Other users of this machine can see flags, so prefer the variable [env: KQ_TLS_KEY_PASSWORD]' -r
complete -c kq -n "__fish_kq_using_subcommand produce" -l sasl-mechanism -d 'PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER; turns TLS on unless all brokers are on loopback [env: KQ_SASL_MECHANISM]' -r
complete -c kq -n "__fish_kq_using_subcommand produce" -l sasl-username -d 'User to log in as [env: KQ_SASL_USERNAME]' -r
complete -c kq -n "__fish_kq_using_subcommand produce" -l sasl-password -d 'Password. Other users of this machine can see flags, so prefer the file or the variable [env: KQ_SASL_PASSWORD]' -r
complete -c kq -n "__fish_kq_using_subcommand produce" -l sasl-password-file -d 'File that contains the password [env: KQ_SASL_PASSWORD_FILE]' -r
complete -c kq -n "__fish_kq_using_subcommand produce" -l log-format -d 'How notes and errors are written to stderr [env: KQ_LOG_FORMAT] [default: text]' -r -f -a "text\t'Lines after `kq: `; those of worker, of dev and of a consume that follows begin with the time (RFC 3339, UTC) where stderr is neither a terminal nor systemd\'s journal'
json\t'One JSON object a line: time, level (error, info, debug, trace; command for what a worker\'s COMMAND wrote), message, and topic, partition, offset where it is about one; repeated where it counts'"
complete -c kq -n "__fish_kq_using_subcommand produce" -l color -d 'Colours in help and errors; NO_COLOR is honoured [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c kq -n "__fish_kq_using_subcommand produce" -s 0 -l null-delimited -d 'A NUL byte ends a record (as find -print0 writes them)'
complete -c kq -n "__fish_kq_using_subcommand produce" -l whole -d 'Each FILE, or all of stdin, is one record'
complete -c kq -n "__fish_kq_using_subcommand produce" -l key-optional -d 'With -K or --key-from: a record without the delimiter, or without the key in its value, has no key; otherwise it is an error'
complete -c kq -n "__fish_kq_using_subcommand produce" -s Z -l empty-is-null -d 'An empty value (with -K: or key) is null, as in kcat'
complete -c kq -n "__fish_kq_using_subcommand produce" -l skip-empty -d 'Skip empty records'
complete -c kq -n "__fish_kq_using_subcommand produce" -s J -l json -d 'Each line is a record in the JSON form that `kq consume -J` writes'
complete -c kq -n "__fish_kq_using_subcommand produce" -l keep-partition -d 'With -J: send each record to the partition that it names'
complete -c kq -n "__fish_kq_using_subcommand produce" -l topic-from-record -d 'With -J: send each record to the topic that it names. TOPIC is for records that name none'
complete -c kq -n "__fish_kq_using_subcommand produce" -l no-idempotence -d 'Do not use the idempotent producer (for clusters that refuse IDEMPOTENT_WRITE); a retry may then write a record twice'
complete -c kq -n "__fish_kq_using_subcommand produce" -l no-create -d 'Refuse a topic that does not exist, even if the broker would create it'
complete -c kq -n "__fish_kq_using_subcommand produce" -l tls -d 'Encrypt the connection [env: KQ_TLS=1]'
complete -c kq -n "__fish_kq_using_subcommand produce" -l no-tls -d 'Do not encrypt the connection, even with SASL to another machine [env: KQ_TLS=0]'
complete -c kq -n "__fish_kq_using_subcommand produce" -l tls-insecure -d 'Trust any certificate: anyone on the network path can then read and change records [env: KQ_TLS_INSECURE=1]'
complete -c kq -n "__fish_kq_using_subcommand produce" -s q -l quiet -d 'Hide notes and summaries; errors stay'
complete -c kq -n "__fish_kq_using_subcommand produce" -s v -l verbose -d 'Print more notes; repeat it for librdkafka\'s own log'
complete -c kq -n "__fish_kq_using_subcommand produce" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kq -n "__fish_kq_using_subcommand produce" -s V -l version -d 'Print version'
complete -c kq -n "__fish_kq_using_subcommand consume" -s t -l topic -d 'The same as a flag, repeatable' -r
complete -c kq -n "__fish_kq_using_subcommand consume" -l exclude-topic -d 'With a pattern: leave out topics whose name matches; repeatable. Without ^ and $ it matches anywhere in the name' -r
complete -c kq -n "__fish_kq_using_subcommand consume" -s g -l group -d 'Read as a member of this group and commit the offsets of written records [env: KQ_GROUP]' -r
complete -c kq -n "__fish_kq_using_subcommand consume" -s o -l from -d 'Where to start: beginning, end, stored, OFFSET, -N (before the end), @TIME or -DURATION (see below); in a group only for partitions without a committed offset' -r
complete -c kq -n "__fish_kq_using_subcommand consume" -l until -d 'Where to stop, exclusive: end, OFFSET, @TIME or -DURATION (see below)' -r
complete -c kq -n "__fish_kq_using_subcommand consume" -s n -s c -l count -d 'Stop after COUNT records were written' -r
complete -c kq -n "__fish_kq_using_subcommand consume" -l idle -d 'Stop when no record came for this long' -r
complete -c kq -n "__fish_kq_using_subcommand consume" -s p -l partition -d 'Partitions to read, without a group: 0,2-5' -r
complete -c kq -n "__fish_kq_using_subcommand consume" -s f -l format -d 'How each record is written: text with \\n \\t \\0 \\xNN and the tokens below' -r
complete -c kq -n "__fish_kq_using_subcommand consume" -s D -l delimiter -d 'Write this string after each record [default: \\n]' -r
complete -c kq -n "__fish_kq_using_subcommand consume" -s K -l key-delimiter -d 'Write the key, then this string, then the value' -r
complete -c kq -n "__fish_kq_using_subcommand consume" -l decode -d 'How to decompress values that were compressed one by one: auto follows the header content-encoding, and recognises Snappy streams (framed, and Java\'s) by their first bytes [default: auto; with consume -J none]' -r -f -a "auto\t''
none\t''
snappy\t''
gzip\t''
zstd\t''
lz4\t''"
complete -c kq -n "__fish_kq_using_subcommand consume" -l max-decoded -d 'The largest size of a decompressed value, as in 64MiB' -r
complete -c kq -n "__fish_kq_using_subcommand consume" -l grep -d 'Only records whose value matches' -r
complete -c kq -n "__fish_kq_using_subcommand consume" -l where-key -d 'Only records with this key' -r
complete -c kq -n "__fish_kq_using_subcommand consume" -l where-header -d 'Only records with this header; repeatable: a record must have all of them' -r
complete -c kq -n "__fish_kq_using_subcommand consume" -l isolation -d 'Which records of transactions: read-committed or read-uncommitted [default: read-committed]' -r -f -a "read-committed\t''
read-uncommitted\t''"
complete -c kq -n "__fish_kq_using_subcommand consume" -l assignor -d 'How the members share the partitions; all of them must support it [default: cooperative-sticky]' -r -f -a "cooperative-sticky\t''
range\t''
roundrobin\t''"
complete -c kq -n "__fish_kq_using_subcommand consume" -l group-protocol -d 'Who assigns the partitions: the members of the group, or the brokers' -r -f -a "classic\t'The members, by --assignor'
consumer\t'The brokers, without stopping the other members (KIP-848, Apache Kafka 4.0 and later)'"
complete -c kq -n "__fish_kq_using_subcommand consume" -l stall-timeout -d 'With a stop condition: stop with an error after this long without contact to the brokers' -r
complete -c kq -n "__fish_kq_using_subcommand consume" -l close-timeout -d 'How long the last commit and leaving the group may take' -r
complete -c kq -n "__fish_kq_using_subcommand consume" -s b -l brokers -d 'Brokers to start from, comma-separated [env: KQ_BROKERS] [default: localhost:9092]' -r
complete -c kq -n "__fish_kq_using_subcommand consume" -l client-id -d 'The client\'s name in the brokers\' logs [env: KQ_CLIENT_ID] [default: kq]' -r
complete -c kq -n "__fish_kq_using_subcommand consume" -l timeout -d 'Limit for finding the cluster, and for each request: 10s, 500ms, 2m [env: KQ_TIMEOUT] [default: 10s]' -r
complete -c kq -n "__fish_kq_using_subcommand consume" -s X -d 'Any librdkafka property, repeatable [env: KQ_X=name=value,name=value]; `-X list` prints them' -r
complete -c kq -n "__fish_kq_using_subcommand consume" -s F -l config-file -d 'A file with properties of librdkafka, kcat or Java; variables and flags rank above it [env: KQ_CONFIG_FILE]' -r
complete -c kq -n "__fish_kq_using_subcommand consume" -l tls-ca -d 'CA certificates to trust instead of the system\'s, PEM; turns TLS on [env: KQ_TLS_CA]' -r
complete -c kq -n "__fish_kq_using_subcommand consume" -l tls-cert -d 'The client\'s certificate, PEM [env: KQ_TLS_CERT]' -r
complete -c kq -n "__fish_kq_using_subcommand consume" -l tls-key -d 'The private key of that certificate, PEM; not needed if it is in the same file [env: KQ_TLS_KEY]' -r
complete -c kq -n "__fish_kq_using_subcommand consume" -l tls-key-password -d 'The password of that key. Other users of this machine can see flags, so prefer the variable [env: KQ_TLS_KEY_PASSWORD]' -r
complete -c kq -n "__fish_kq_using_subcommand consume" -l sasl-mechanism -d 'PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER; turns TLS on unless all brokers are on loopback [env: KQ_SASL_MECHANISM]' -r
complete -c kq -n "__fish_kq_using_subcommand consume" -l sasl-username -d 'User to log in as [env: KQ_SASL_USERNAME]' -r
complete -c kq -n "__fish_kq_using_subcommand consume" -l sasl-password -d 'Password. Other users of this machine can see flags, so prefer the file or the variable [env: KQ_SASL_PASSWORD]' -r
complete -c kq -n "__fish_kq_using_subcommand consume" -l sasl-password-file -d 'File that contains the password [env: KQ_SASL_PASSWORD_FILE]' -r
complete -c kq -n "__fish_kq_using_subcommand consume" -l log-format -d 'How notes and errors are written to stderr [env: KQ_LOG_FORMAT] [default: text]' -r -f -a "text\t'Lines after `kq: `; those of worker, of dev and of a consume that follows begin with the time (RFC 3339, UTC) where stderr is neither a terminal nor systemd\'s journal'
json\t'One JSON object a line: time, level (error, info, debug, trace; command for what a worker\'s COMMAND wrote), message, and topic, partition, offset where it is about one; repeated where it counts'"
complete -c kq -n "__fish_kq_using_subcommand consume" -l color -d 'Colours in help and errors; NO_COLOR is honoured [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c kq -n "__fish_kq_using_subcommand consume" -l reset -d 'With --from: move the whole group there, even where it has committed; refused if it has members'
complete -c kq -n "__fish_kq_using_subcommand consume" -s e -l end -d 'Stop at the end, as it is when a partition is first assigned'
complete -c kq -n "__fish_kq_using_subcommand consume" -s J -l json -d 'Write each record as one JSON object in a line, without loss; `kq produce -J` reads it'
complete -c kq -n "__fish_kq_using_subcommand consume" -s 0 -l null-delimited -d 'Write a NUL byte after each record'
complete -c kq -n "__fish_kq_using_subcommand consume" -l with-key -d 'Write the key, a tab, the value'
complete -c kq -n "__fish_kq_using_subcommand consume" -s Z -l print-null -d 'Write null keys and values as NULL; empty ones stay empty'
complete -c kq -n "__fish_kq_using_subcommand consume" -s u -l unbuffered -d 'Write each record immediately, even while more are waiting'
complete -c kq -n "__fish_kq_using_subcommand consume" -l tls -d 'Encrypt the connection [env: KQ_TLS=1]'
complete -c kq -n "__fish_kq_using_subcommand consume" -l no-tls -d 'Do not encrypt the connection, even with SASL to another machine [env: KQ_TLS=0]'
complete -c kq -n "__fish_kq_using_subcommand consume" -l tls-insecure -d 'Trust any certificate: anyone on the network path can then read and change records [env: KQ_TLS_INSECURE=1]'
complete -c kq -n "__fish_kq_using_subcommand consume" -s q -l quiet -d 'Hide notes and summaries; errors stay'
complete -c kq -n "__fish_kq_using_subcommand consume" -s v -l verbose -d 'Print more notes; repeat it for librdkafka\'s own log'
complete -c kq -n "__fish_kq_using_subcommand consume" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kq -n "__fish_kq_using_subcommand consume" -s V -l version -d 'Print version'
complete -c kq -n "__fish_kq_using_subcommand worker" -s t -l topic -d 'A topic; repeatable' -r
complete -c kq -n "__fish_kq_using_subcommand worker" -l exclude-topic -d 'With a pattern: leave out topics whose name matches; repeatable. Without ^ and $ it matches anywhere in the name' -r
complete -c kq -n "__fish_kq_using_subcommand worker" -l shell -d 'Run STRING under `sh -c` for each record, instead of a COMMAND' -r
complete -c kq -n "__fish_kq_using_subcommand worker" -s g -l group -d 'The consumer group (or KQ_GROUP) [default: kq-worker-TOPIC]' -r
complete -c kq -n "__fish_kq_using_subcommand worker" -s o -l from -d 'Where the group has committed nothing yet: beginning, end, OFFSET, -N (before the end), @TIME, -DURATION' -r
complete -c kq -n "__fish_kq_using_subcommand worker" -l until -d 'End there (exclusive): end (as it is when a partition is assigned), OFFSET, @TIME' -r
complete -c kq -n "__fish_kq_using_subcommand worker" -s n -s c -l count -d 'End after COUNT records are done, one way or another' -r
complete -c kq -n "__fish_kq_using_subcommand worker" -l idle -d 'End when nothing came and nothing ran for this long' -r
complete -c kq -n "__fish_kq_using_subcommand worker" -l instance-id -d 'Static membership: a member with this name keeps its partitions over a short restart' -r
complete -c kq -n "__fish_kq_using_subcommand worker" -l commit-interval -d 'How often what is done is committed (a second where much is done past an open record), 10ms to 1m: after kq was killed, what was done since runs again' -r
complete -c kq -n "__fish_kq_using_subcommand worker" -l decode -d 'How to decompress values that were compressed one by one: auto follows the header content-encoding, and recognises Snappy streams (framed, and Java\'s) by their first bytes [default: auto; with consume -J none]' -r -f -a "auto\t''
none\t''
snappy\t''
gzip\t''
zstd\t''
lz4\t''"
complete -c kq -n "__fish_kq_using_subcommand worker" -l max-decoded -d 'The largest size of a decompressed value, as in 64MiB' -r
complete -c kq -n "__fish_kq_using_subcommand worker" -l grep -d 'Only records whose value matches' -r
complete -c kq -n "__fish_kq_using_subcommand worker" -l where-key -d 'Only records with this key' -r
complete -c kq -n "__fish_kq_using_subcommand worker" -l where-header -d 'Only records with this header; repeatable: a record must have all of them' -r
complete -c kq -n "__fish_kq_using_subcommand worker" -l isolation -d 'Which records of transactions: read-committed or read-uncommitted [default: read-committed]' -r -f -a "read-committed\t''
read-uncommitted\t''"
complete -c kq -n "__fish_kq_using_subcommand worker" -l assignor -d 'How the members share the partitions; all of them must support it [default: cooperative-sticky]' -r -f -a "cooperative-sticky\t''
range\t''
roundrobin\t''"
complete -c kq -n "__fish_kq_using_subcommand worker" -l group-protocol -d 'Who assigns the partitions: the members of the group, or the brokers' -r -f -a "classic\t'The members, by --assignor'
consumer\t'The brokers, without stopping the other members (KIP-848, Apache Kafka 4.0 and later)'"
complete -c kq -n "__fish_kq_using_subcommand worker" -s j -l jobs -d 'Commands that run at the same time; 16 to 64 for those that wait on a network [default: cores]' -r
complete -c kq -n "__fish_kq_using_subcommand worker" -l order -d 'Which records wait for each other' -r -f -a "key\t'Records of one key in one partition run one after the other'
partition\t'Records of one partition run one after the other'
none\t'Any record runs at any time'"
complete -c kq -n "__fish_kq_using_subcommand worker" -l command-timeout -d 'A command that takes longer is terminated (TERM), then killed, with all that it started; its record has failed' -r
complete -c kq -n "__fish_kq_using_subcommand worker" -l rate -d 'Start so many commands at most in each second, minute, hour or day (10/s, 90/m, 1000/h, 5000/d), retries included. With --persistent: hand out so many records' -r
complete -c kq -n "__fish_kq_using_subcommand worker" -l delay -d 'Run each record this long after its timestamp, and a dead letter this long after it failed. Both count from now where they are in the future. Records of one key keep their order' -r
complete -c kq -n "__fish_kq_using_subcommand worker" -l max-span -d 'How far a partition may be read ahead of its oldest record that is not done' -r
complete -c kq -n "__fish_kq_using_subcommand worker" -s D -l delimiter -d 'Write this string after each value on a command\'s stdin, as in `-D \'\\n\'`; nothing after a tombstone, but with --batch, where a null value is an empty one. May contain \\n \\t \\0 \\xNN [default: nothing]' -r
complete -c kq -n "__fish_kq_using_subcommand worker" -l stdin -d 'What a command reads: the record\'s value, or the whole record in a line of JSON, as `kq consume -J` writes it, with the value decompressed [default: value; with --batch json, but with -D value]' -r -f -a "value\t''
json\t''"
complete -c kq -n "__fish_kq_using_subcommand worker" -l window -d 'With --persistent: records in flight in each process' -r
complete -c kq -n "__fish_kq_using_subcommand worker" -l start-timeout -d 'With --persistent: what the first answer of each process may take besides --command-timeout' -r
complete -c kq -n "__fish_kq_using_subcommand worker" -l batch -d 'Up to N records of one partition to one command, in offset order: lines of JSON, or values with -D. COMMAND must be all-or-nothing, or bear a second run of what it has done (see below)' -r
complete -c kq -n "__fish_kq_using_subcommand worker" -l batch-wait -d 'With --batch: how long a batch that is not full waits for more records' -r
complete -c kq -n "__fish_kq_using_subcommand worker" -l batch-bytes -d 'With --batch: the keys, values and headers of a batch have so many bytes at most; a larger record goes alone' -r
complete -c kq -n "__fish_kq_using_subcommand worker" -l output-topic -d 'Send what a command printed, once it succeeded, to this topic, under the record\'s key and without one newline at its end. Where it printed nothing, nothing is sent, except for an empty value. With --persistent: the "out" of its answers' -r
complete -c kq -n "__fish_kq_using_subcommand worker" -l retries -d 'Further attempts after the first' -r
complete -c kq -n "__fish_kq_using_subcommand worker" -l retry-for -d 'Instead of --retries: a record is tried for so long from its first attempt on' -r
complete -c kq -n "__fish_kq_using_subcommand worker" -l backoff -d 'The wait before a retry: half of FIRST to FIRST, doubled each time, at most MAX' -r
complete -c kq -n "__fish_kq_using_subcommand worker" -l exit-map -d 'What exit statuses mean instead: ok, retry, fail, skip, stop' -r
complete -c kq -n "__fish_kq_using_subcommand worker" -l on-failure -d 'What becomes of a record that failed for good [default: dlq with --dlq, else stop]' -r -f -a "stop\t'Stop the worker; the record is not committed'
skip\t'Continue; the record is committed as if it had succeeded'
retry\t'Try again without a limit, with the longest backoff'
dlq\t'Send it to --dlq, then continue'"
complete -c kq -n "__fish_kq_using_subcommand worker" -l dlq -d 'Send records that failed for good to this topic, with headers that say why' -r
complete -c kq -n "__fish_kq_using_subcommand worker" -l max-consecutive-failures -d 'So many records that failed for good with no success between them are an outage of what the command needs; 0 is never. Records that can never be done (65, 100, "fail") do not count' -r
complete -c kq -n "__fish_kq_using_subcommand worker" -l on-outage -d 'What follows on such an outage [default: pause; stop with -n, -e, --until or --idle]' -r -f -a "pause\t'Try one record at a time until one is done; meanwhile at most one is given up in each longest --backoff'
stop\t'Stop the worker; the record is not committed'"
complete -c kq -n "__fish_kq_using_subcommand worker" -l metrics -d 'Serve /metrics (Prometheus), /livez and /readyz there; `:9100` is all of this machine\'s addresses' -r
complete -c kq -n "__fish_kq_using_subcommand worker" -l drain -d 'When partitions move to another member: how long their commands may still run' -r
complete -c kq -n "__fish_kq_using_subcommand worker" -l shutdown-timeout -d 'How long ending may take in all, on TERM, INT or HUP (INT and HUP unless they were ignored before, as by nohup)' -r
complete -c kq -n "__fish_kq_using_subcommand worker" -l stall-timeout -d 'With -n, -e, --until or --idle: give up after so long without contact to the cluster' -r
complete -c kq -n "__fish_kq_using_subcommand worker" -s b -l brokers -d 'Brokers to start from, comma-separated [env: KQ_BROKERS] [default: localhost:9092]' -r
complete -c kq -n "__fish_kq_using_subcommand worker" -l client-id -d 'The client\'s name in the brokers\' logs [env: KQ_CLIENT_ID] [default: kq]' -r
complete -c kq -n "__fish_kq_using_subcommand worker" -l timeout -d 'Limit for finding the cluster, and for each request: 10s, 500ms, 2m [env: KQ_TIMEOUT] [default: 10s]' -r
complete -c kq -n "__fish_kq_using_subcommand worker" -s X -d 'Any librdkafka property, repeatable [env: KQ_X=name=value,name=value]; `-X list` prints them' -r
complete -c kq -n "__fish_kq_using_subcommand worker" -s F -l config-file -d 'A file with properties of librdkafka, kcat or Java; variables and flags rank above it [env: KQ_CONFIG_FILE]' -r
complete -c kq -n "__fish_kq_using_subcommand worker" -l tls-ca -d 'CA certificates to trust instead of the system\'s, PEM; turns TLS on [env: KQ_TLS_CA]' -r
complete -c kq -n "__fish_kq_using_subcommand worker" -l tls-cert -d 'The client\'s certificate, PEM [env: KQ_TLS_CERT]' -r
complete -c kq -n "__fish_kq_using_subcommand worker" -l tls-key -d 'The private key of that certificate, PEM; not needed if it is in the same file [env: KQ_TLS_KEY]' -r
complete -c kq -n "__fish_kq_using_subcommand worker" -l tls-key-password -d 'The password of that key. Other users of this machine can see flags, so prefer the variable [env: KQ_TLS_KEY_PASSWORD]' -r
complete -c kq -n "__fish_kq_using_subcommand worker" -l sasl-mechanism -d 'PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER; turns TLS on unless all brokers are on loopback [env: KQ_SASL_MECHANISM]' -r
complete -c kq -n "__fish_kq_using_subcommand worker" -l sasl-username -d 'User to log in as [env: KQ_SASL_USERNAME]' -r
complete -c kq -n "__fish_kq_using_subcommand worker" -l sasl-password -d 'Password. Other users of this machine can see flags, so prefer the file or the variable [env: KQ_SASL_PASSWORD]' -r
complete -c kq -n "__fish_kq_using_subcommand worker" -l sasl-password-file -d 'File that contains the password [env: KQ_SASL_PASSWORD_FILE]' -r
complete -c kq -n "__fish_kq_using_subcommand worker" -l log-format -d 'How notes and errors are written to stderr [env: KQ_LOG_FORMAT] [default: text]' -r -f -a "text\t'Lines after `kq: `; those of worker, of dev and of a consume that follows begin with the time (RFC 3339, UTC) where stderr is neither a terminal nor systemd\'s journal'
json\t'One JSON object a line: time, level (error, info, debug, trace; command for what a worker\'s COMMAND wrote), message, and topic, partition, offset where it is about one; repeated where it counts'"
complete -c kq -n "__fish_kq_using_subcommand worker" -l color -d 'Colours in help and errors; NO_COLOR is honoured [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c kq -n "__fish_kq_using_subcommand worker" -l reset -d 'With --from: the whole group starts there, whatever it has committed; refused where it has members'
complete -c kq -n "__fish_kq_using_subcommand worker" -s e -l end -d 'End at the end, as it is when a partition is first assigned'
complete -c kq -n "__fish_kq_using_subcommand worker" -l persistent -d 'The commands keep running and answer record after record, as JSON lines: see "The protocol of --persistent" in --help'
complete -c kq -n "__fish_kq_using_subcommand worker" -l output-lines -d 'With --output-topic: each line is a record'
complete -c kq -n "__fish_kq_using_subcommand worker" -l copy-headers -d 'With --output-topic: the record\'s headers are sent too'
complete -c kq -n "__fish_kq_using_subcommand worker" -l pass-credentials -d 'Pass passwords in the command\'s environment too (KQ_SASL_PASSWORD, KQ_TLS_KEY_PASSWORD). The private key of a key store or of ssl.key.pem is passed in KQ_X: that of a key store is not encrypted there'
complete -c kq -n "__fish_kq_using_subcommand worker" -l tls -d 'Encrypt the connection [env: KQ_TLS=1]'
complete -c kq -n "__fish_kq_using_subcommand worker" -l no-tls -d 'Do not encrypt the connection, even with SASL to another machine [env: KQ_TLS=0]'
complete -c kq -n "__fish_kq_using_subcommand worker" -l tls-insecure -d 'Trust any certificate: anyone on the network path can then read and change records [env: KQ_TLS_INSECURE=1]'
complete -c kq -n "__fish_kq_using_subcommand worker" -s q -l quiet -d 'Hide notes and summaries; errors stay'
complete -c kq -n "__fish_kq_using_subcommand worker" -s v -l verbose -d 'Print more notes; repeat it for librdkafka\'s own log'
complete -c kq -n "__fish_kq_using_subcommand worker" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kq -n "__fish_kq_using_subcommand worker" -s V -l version -d 'Print version'
complete -c kq -n "__fish_kq_using_subcommand serve" -s t -l topic -d 'The same, repeatable' -r
complete -c kq -n "__fish_kq_using_subcommand serve" -s l -l listen -d 'Where to listen; `:8080` is all of this machine\'s addresses, and port 0 a free one, which stdout then shows [env: KQ_LISTEN] [default: 127.0.0.1:8080]' -r
complete -c kq -n "__fish_kq_using_subcommand serve" -l metrics -d '/metrics, /livez and /readyz there, in plain HTTP and without a token [default: where --listen says]' -r
complete -c kq -n "__fish_kq_using_subcommand serve" -l route -d 'Another path for a topic, repeatable: --route /hooks/github=orders' -r
complete -c kq -n "__fish_kq_using_subcommand serve" -l https-cert -d 'The certificate of this server and those above it, PEM: HTTPS instead of HTTP [env: KQ_HTTPS_CERT]' -r -F
complete -c kq -n "__fish_kq_using_subcommand serve" -l https-key -d 'The private key of that certificate, PEM [env: KQ_HTTPS_KEY]' -r -F
complete -c kq -n "__fish_kq_using_subcommand serve" -l https-client-ca -d 'Refuse a client without a certificate of one of these authorities, PEM [env: KQ_HTTPS_CLIENT_CA]' -r -F
complete -c kq -n "__fish_kq_using_subcommand serve" -l token-file -d 'Who may publish: lines TOKEN, NAME TOKEN, or NAME TOKEN TOPIC,…; `#` begins a comment. A token has 16 characters or more. It is sent as `Authorization: Bearer TOKEN`, or as the password of Basic. The file is read again when it changes [env: KQ_TOKEN_FILE]' -r -F
complete -c kq -n "__fish_kq_using_subcommand serve" -l webhook -d 'Take requests that are signed with a secret, repeatable: github, stripe, standard (Standard Webhooks, Svix), or hmac:HEADER (hex or base64). FILE holds the secrets, one a line' -r
complete -c kq -n "__fish_kq_using_subcommand serve" -l cors-origin -d 'Web pages of this origin may publish, repeatable; `*` is any, together with --no-auth [env: KQ_CORS_ORIGIN]' -r
complete -c kq -n "__fish_kq_using_subcommand serve" -l allow-host -d 'On loopback: a further name that `Host` may have for topics that anyone may publish to, repeatable, such as that of a tunnel' -r
complete -c kq -n "__fish_kq_using_subcommand serve" -l validate -d 'What values must be, repeatable: json; none; or FILE, a JSON Schema [env: KQ_VALIDATE] [default: json]' -r
complete -c kq -n "__fish_kq_using_subcommand serve" -l key-from -d 'The key of a record for which the request names none, repeatable: header:NAME, json:/POINTER (RFC 6901, in the value), or ce:partitionkey (of a CloudEvent)' -r
complete -c kq -n "__fish_kq_using_subcommand serve" -s H -l header -d 'A header of every record, repeatable; NAME alone has a null value' -r
complete -c kq -n "__fish_kq_using_subcommand serve" -l copy-header -d 'Make a record header of this header of the request, repeatable; `X-GitHub-*` is all that begin so. Those that hold credentials are never copied' -r
complete -c kq -n "__fish_kq_using_subcommand serve" -l max-body -d 'The longest body, also after decompression [env: KQ_MAX_BODY] [default: 1MiB]' -r
complete -c kq -n "__fish_kq_using_subcommand serve" -l max-records -d 'The most records of a request' -r
complete -c kq -n "__fish_kq_using_subcommand serve" -l max-pending -d 'Of all bodies that are being read or not acknowledged yet; a request beyond that is answered with 503' -r
complete -c kq -n "__fish_kq_using_subcommand serve" -l max-connections -d 'Open connections; more wait until one closes' -r
complete -c kq -n "__fish_kq_using_subcommand serve" -l rate -d 'Requests in a time, as in 100/s; more are answered with 429 [default: no limit]' -r
complete -c kq -n "__fish_kq_using_subcommand serve" -l head-timeout -d 'How long a request\'s head may take, TLS handshake included' -r
complete -c kq -n "__fish_kq_using_subcommand serve" -l body-timeout -d 'How long all of a body may take' -r
complete -c kq -n "__fish_kq_using_subcommand serve" -l idle-timeout -d 'How long a connection may be open without a request; more than a load balancer in front keeps it' -r
complete -c kq -n "__fish_kq_using_subcommand serve" -l delivery-timeout -d 'How long a record may take to be acknowledged; what is open then is answered with 503 or 504 [default: 9s]' -r
complete -c kq -n "__fish_kq_using_subcommand serve" -s z -l compression -d 'Compression of batches on the wire: none, gzip, snappy, lz4 or zstd; with :LEVEL if the codec has levels [default: snappy]' -r
complete -c kq -n "__fish_kq_using_subcommand serve" -l partitioner -d 'Which partition a key goes to: murmur2 is Java\'s, consistent is kcat\'s [default: murmur2_random]' -r -f -a "murmur2_random\t''
murmur2\t''
consistent_random\t''
consistent\t''
fnv1a_random\t''
fnv1a\t''
random\t''"
complete -c kq -n "__fish_kq_using_subcommand serve" -l drain-delay -d 'On TERM, INT or HUP: go on for so long before connections are refused, while /readyz says 503 already. On Kubernetes 5s: until then its endpoints may still name this process' -r
complete -c kq -n "__fish_kq_using_subcommand serve" -l shutdown-timeout -d 'How long ending may take in all' -r
complete -c kq -n "__fish_kq_using_subcommand serve" -s b -l brokers -d 'Brokers to start from, comma-separated [env: KQ_BROKERS] [default: localhost:9092]' -r
complete -c kq -n "__fish_kq_using_subcommand serve" -l client-id -d 'The client\'s name in the brokers\' logs [env: KQ_CLIENT_ID] [default: kq]' -r
complete -c kq -n "__fish_kq_using_subcommand serve" -l timeout -d 'Limit for finding the cluster, and for each request: 10s, 500ms, 2m [env: KQ_TIMEOUT] [default: 10s]' -r
complete -c kq -n "__fish_kq_using_subcommand serve" -s X -d 'Any librdkafka property, repeatable [env: KQ_X=name=value,name=value]; `-X list` prints them' -r
complete -c kq -n "__fish_kq_using_subcommand serve" -s F -l config-file -d 'A file with properties of librdkafka, kcat or Java; variables and flags rank above it [env: KQ_CONFIG_FILE]' -r
complete -c kq -n "__fish_kq_using_subcommand serve" -l tls-ca -d 'CA certificates to trust instead of the system\'s, PEM; turns TLS on [env: KQ_TLS_CA]' -r
complete -c kq -n "__fish_kq_using_subcommand serve" -l tls-cert -d 'The client\'s certificate, PEM [env: KQ_TLS_CERT]' -r
complete -c kq -n "__fish_kq_using_subcommand serve" -l tls-key -d 'The private key of that certificate, PEM; not needed if it is in the same file [env: KQ_TLS_KEY]' -r
complete -c kq -n "__fish_kq_using_subcommand serve" -l tls-key-password -d 'The password of that key. Other users of this machine can see flags, so prefer the variable [env: KQ_TLS_KEY_PASSWORD]' -r
complete -c kq -n "__fish_kq_using_subcommand serve" -l sasl-mechanism -d 'PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER; turns TLS on unless all brokers are on loopback [env: KQ_SASL_MECHANISM]' -r
complete -c kq -n "__fish_kq_using_subcommand serve" -l sasl-username -d 'User to log in as [env: KQ_SASL_USERNAME]' -r
complete -c kq -n "__fish_kq_using_subcommand serve" -l sasl-password -d 'Password. Other users of this machine can see flags, so prefer the file or the variable [env: KQ_SASL_PASSWORD]' -r
complete -c kq -n "__fish_kq_using_subcommand serve" -l sasl-password-file -d 'File that contains the password [env: KQ_SASL_PASSWORD_FILE]' -r
complete -c kq -n "__fish_kq_using_subcommand serve" -l log-format -d 'How notes and errors are written to stderr [env: KQ_LOG_FORMAT] [default: text]' -r -f -a "text\t'Lines after `kq: `; those of worker, of dev and of a consume that follows begin with the time (RFC 3339, UTC) where stderr is neither a terminal nor systemd\'s journal'
json\t'One JSON object a line: time, level (error, info, debug, trace; command for what a worker\'s COMMAND wrote), message, and topic, partition, offset where it is about one; repeated where it counts'"
complete -c kq -n "__fish_kq_using_subcommand serve" -l color -d 'Colours in help and errors; NO_COLOR is honoured [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c kq -n "__fish_kq_using_subcommand serve" -l no-auth -d 'Anyone who can reach the address may publish. Without it, kq does not listen off loopback for a topic that has no token, client certificate or signature'
complete -c kq -n "__fish_kq_using_subcommand serve" -l form -d 'Take HTML forms too: one becomes a JSON object of strings'
complete -c kq -n "__fish_kq_using_subcommand serve" -l any -d 'Take any other type too: the body is the value, with a content-type header'
complete -c kq -n "__fish_kq_using_subcommand serve" -l key-optional -d 'With --key-from: a record that lacks it has no key; otherwise it is refused'
complete -c kq -n "__fish_kq_using_subcommand serve" -l no-idempotence -d 'Do not use the idempotent producer (for clusters that refuse IDEMPOTENT_WRITE); a retry of kq may then write a record twice'
complete -c kq -n "__fish_kq_using_subcommand serve" -l no-create -d 'Refuse a topic that does not exist, even if the broker would create it'
complete -c kq -n "__fish_kq_using_subcommand serve" -l tls -d 'Encrypt the connection [env: KQ_TLS=1]'
complete -c kq -n "__fish_kq_using_subcommand serve" -l no-tls -d 'Do not encrypt the connection, even with SASL to another machine [env: KQ_TLS=0]'
complete -c kq -n "__fish_kq_using_subcommand serve" -l tls-insecure -d 'Trust any certificate: anyone on the network path can then read and change records [env: KQ_TLS_INSECURE=1]'
complete -c kq -n "__fish_kq_using_subcommand serve" -s q -l quiet -d 'Hide notes and summaries; errors stay'
complete -c kq -n "__fish_kq_using_subcommand serve" -s v -l verbose -d 'Print more notes; repeat it for librdkafka\'s own log'
complete -c kq -n "__fish_kq_using_subcommand serve" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kq -n "__fish_kq_using_subcommand serve" -s V -l version -d 'Print version'
complete -c kq -n "__fish_kq_using_subcommand config; and not __fish_seen_subcommand_from show help" -s b -l brokers -d 'Brokers to start from, comma-separated [env: KQ_BROKERS] [default: localhost:9092]' -r
complete -c kq -n "__fish_kq_using_subcommand config; and not __fish_seen_subcommand_from show help" -l client-id -d 'The client\'s name in the brokers\' logs [env: KQ_CLIENT_ID] [default: kq]' -r
complete -c kq -n "__fish_kq_using_subcommand config; and not __fish_seen_subcommand_from show help" -l timeout -d 'Limit for finding the cluster, and for each request: 10s, 500ms, 2m [env: KQ_TIMEOUT] [default: 10s]' -r
complete -c kq -n "__fish_kq_using_subcommand config; and not __fish_seen_subcommand_from show help" -s X -d 'Any librdkafka property, repeatable [env: KQ_X=name=value,name=value]; `-X list` prints them' -r
complete -c kq -n "__fish_kq_using_subcommand config; and not __fish_seen_subcommand_from show help" -s F -l config-file -d 'A file with properties of librdkafka, kcat or Java; variables and flags rank above it [env: KQ_CONFIG_FILE]' -r
complete -c kq -n "__fish_kq_using_subcommand config; and not __fish_seen_subcommand_from show help" -l tls-ca -d 'CA certificates to trust instead of the system\'s, PEM; turns TLS on [env: KQ_TLS_CA]' -r
complete -c kq -n "__fish_kq_using_subcommand config; and not __fish_seen_subcommand_from show help" -l tls-cert -d 'The client\'s certificate, PEM [env: KQ_TLS_CERT]' -r
complete -c kq -n "__fish_kq_using_subcommand config; and not __fish_seen_subcommand_from show help" -l tls-key -d 'The private key of that certificate, PEM; not needed if it is in the same file [env: KQ_TLS_KEY]' -r
complete -c kq -n "__fish_kq_using_subcommand config; and not __fish_seen_subcommand_from show help" -l tls-key-password -d 'The password of that key. Other users of this machine can see flags, so prefer the variable [env: KQ_TLS_KEY_PASSWORD]' -r
complete -c kq -n "__fish_kq_using_subcommand config; and not __fish_seen_subcommand_from show help" -l sasl-mechanism -d 'PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER; turns TLS on unless all brokers are on loopback [env: KQ_SASL_MECHANISM]' -r
complete -c kq -n "__fish_kq_using_subcommand config; and not __fish_seen_subcommand_from show help" -l sasl-username -d 'User to log in as [env: KQ_SASL_USERNAME]' -r
complete -c kq -n "__fish_kq_using_subcommand config; and not __fish_seen_subcommand_from show help" -l sasl-password -d 'Password. Other users of this machine can see flags, so prefer the file or the variable [env: KQ_SASL_PASSWORD]' -r
complete -c kq -n "__fish_kq_using_subcommand config; and not __fish_seen_subcommand_from show help" -l sasl-password-file -d 'File that contains the password [env: KQ_SASL_PASSWORD_FILE]' -r
complete -c kq -n "__fish_kq_using_subcommand config; and not __fish_seen_subcommand_from show help" -l log-format -d 'How notes and errors are written to stderr [env: KQ_LOG_FORMAT] [default: text]' -r -f -a "text\t'Lines after `kq: `; those of worker, of dev and of a consume that follows begin with the time (RFC 3339, UTC) where stderr is neither a terminal nor systemd\'s journal'
json\t'One JSON object a line: time, level (error, info, debug, trace; command for what a worker\'s COMMAND wrote), message, and topic, partition, offset where it is about one; repeated where it counts'"
complete -c kq -n "__fish_kq_using_subcommand config; and not __fish_seen_subcommand_from show help" -l color -d 'Colours in help and errors; NO_COLOR is honoured [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c kq -n "__fish_kq_using_subcommand config; and not __fish_seen_subcommand_from show help" -l tls -d 'Encrypt the connection [env: KQ_TLS=1]'
complete -c kq -n "__fish_kq_using_subcommand config; and not __fish_seen_subcommand_from show help" -l no-tls -d 'Do not encrypt the connection, even with SASL to another machine [env: KQ_TLS=0]'
complete -c kq -n "__fish_kq_using_subcommand config; and not __fish_seen_subcommand_from show help" -l tls-insecure -d 'Trust any certificate: anyone on the network path can then read and change records [env: KQ_TLS_INSECURE=1]'
complete -c kq -n "__fish_kq_using_subcommand config; and not __fish_seen_subcommand_from show help" -s q -l quiet -d 'Hide notes and summaries; errors stay'
complete -c kq -n "__fish_kq_using_subcommand config; and not __fish_seen_subcommand_from show help" -s v -l verbose -d 'Print more notes; repeat it for librdkafka\'s own log'
complete -c kq -n "__fish_kq_using_subcommand config; and not __fish_seen_subcommand_from show help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kq -n "__fish_kq_using_subcommand config; and not __fish_seen_subcommand_from show help" -s V -l version -d 'Print version'
complete -c kq -n "__fish_kq_using_subcommand config; and not __fish_seen_subcommand_from show help" -f -a "show" -d 'Print every value of the connection and where it came from'
complete -c kq -n "__fish_kq_using_subcommand config; and not __fish_seen_subcommand_from show help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c kq -n "__fish_kq_using_subcommand config; and __fish_seen_subcommand_from show" -s b -l brokers -d 'Brokers to start from, comma-separated [env: KQ_BROKERS] [default: localhost:9092]' -r
complete -c kq -n "__fish_kq_using_subcommand config; and __fish_seen_subcommand_from show" -l client-id -d 'The client\'s name in the brokers\' logs [env: KQ_CLIENT_ID] [default: kq]' -r
complete -c kq -n "__fish_kq_using_subcommand config; and __fish_seen_subcommand_from show" -l timeout -d 'Limit for finding the cluster, and for each request: 10s, 500ms, 2m [env: KQ_TIMEOUT] [default: 10s]' -r
complete -c kq -n "__fish_kq_using_subcommand config; and __fish_seen_subcommand_from show" -s X -d 'Any librdkafka property, repeatable [env: KQ_X=name=value,name=value]; `-X list` prints them' -r
complete -c kq -n "__fish_kq_using_subcommand config; and __fish_seen_subcommand_from show" -s F -l config-file -d 'A file with properties of librdkafka, kcat or Java; variables and flags rank above it [env: KQ_CONFIG_FILE]' -r
complete -c kq -n "__fish_kq_using_subcommand config; and __fish_seen_subcommand_from show" -l tls-ca -d 'CA certificates to trust instead of the system\'s, PEM; turns TLS on [env: KQ_TLS_CA]' -r
complete -c kq -n "__fish_kq_using_subcommand config; and __fish_seen_subcommand_from show" -l tls-cert -d 'The client\'s certificate, PEM [env: KQ_TLS_CERT]' -r
complete -c kq -n "__fish_kq_using_subcommand config; and __fish_seen_subcommand_from show" -l tls-key -d 'The private key of that certificate, PEM; not needed if it is in the same file [env: KQ_TLS_KEY]' -r
complete -c kq -n "__fish_kq_using_subcommand config; and __fish_seen_subcommand_from show" -l tls-key-password -d 'The password of that key. Other users of this machine can see flags, so prefer the variable [env: KQ_TLS_KEY_PASSWORD]' -r
complete -c kq -n "__fish_kq_using_subcommand config; and __fish_seen_subcommand_from show" -l sasl-mechanism -d 'PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER; turns TLS on unless all brokers are on loopback [env: KQ_SASL_MECHANISM]' -r
complete -c kq -n "__fish_kq_using_subcommand config; and __fish_seen_subcommand_from show" -l sasl-username -d 'User to log in as [env: KQ_SASL_USERNAME]' -r
complete -c kq -n "__fish_kq_using_subcommand config; and __fish_seen_subcommand_from show" -l sasl-password -d 'Password. Other users of this machine can see flags, so prefer the file or the variable [env: KQ_SASL_PASSWORD]' -r
complete -c kq -n "__fish_kq_using_subcommand config; and __fish_seen_subcommand_from show" -l sasl-password-file -d 'File that contains the password [env: KQ_SASL_PASSWORD_FILE]' -r
complete -c kq -n "__fish_kq_using_subcommand config; and __fish_seen_subcommand_from show" -l log-format -d 'How notes and errors are written to stderr [env: KQ_LOG_FORMAT] [default: text]' -r -f -a "text\t'Lines after `kq: `; those of worker, of dev and of a consume that follows begin with the time (RFC 3339, UTC) where stderr is neither a terminal nor systemd\'s journal'
json\t'One JSON object a line: time, level (error, info, debug, trace; command for what a worker\'s COMMAND wrote), message, and topic, partition, offset where it is about one; repeated where it counts'"
complete -c kq -n "__fish_kq_using_subcommand config; and __fish_seen_subcommand_from show" -l color -d 'Colours in help and errors; NO_COLOR is honoured [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c kq -n "__fish_kq_using_subcommand config; and __fish_seen_subcommand_from show" -l json -d 'One JSON object a line: name, value, from'
complete -c kq -n "__fish_kq_using_subcommand config; and __fish_seen_subcommand_from show" -l tls -d 'Encrypt the connection [env: KQ_TLS=1]'
complete -c kq -n "__fish_kq_using_subcommand config; and __fish_seen_subcommand_from show" -l no-tls -d 'Do not encrypt the connection, even with SASL to another machine [env: KQ_TLS=0]'
complete -c kq -n "__fish_kq_using_subcommand config; and __fish_seen_subcommand_from show" -l tls-insecure -d 'Trust any certificate: anyone on the network path can then read and change records [env: KQ_TLS_INSECURE=1]'
complete -c kq -n "__fish_kq_using_subcommand config; and __fish_seen_subcommand_from show" -s q -l quiet -d 'Hide notes and summaries; errors stay'
complete -c kq -n "__fish_kq_using_subcommand config; and __fish_seen_subcommand_from show" -s v -l verbose -d 'Print more notes; repeat it for librdkafka\'s own log'
complete -c kq -n "__fish_kq_using_subcommand config; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kq -n "__fish_kq_using_subcommand config; and __fish_seen_subcommand_from show" -s V -l version -d 'Print version'
complete -c kq -n "__fish_kq_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "show" -d 'Print every value of the connection and where it came from'
complete -c kq -n "__fish_kq_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c kq -n "__fish_kq_using_subcommand dev" -l port -d 'Port to listen on, 0 for a free one [default: 9092, with COMMAND a free one]' -r
complete -c kq -n "__fish_kq_using_subcommand dev" -l listen -d 'Address to listen on, `:9092` for all of this machine\'s; anyone who can reach it can read and write' -r
complete -c kq -n "__fish_kq_using_subcommand dev" -l data -d 'Keep topics, records and offsets in this folder across restarts [default: a temporary folder]' -r -F
complete -c kq -n "__fish_kq_using_subcommand dev" -l topic -d 'Create this topic at the start; repeatable' -r
complete -c kq -n "__fish_kq_using_subcommand dev" -l partitions -d 'Partitions of a new topic whose number of partitions is not given' -r
complete -c kq -n "__fish_kq_using_subcommand dev" -l retention-bytes -d 'Delete the oldest records of a partition above this size, as in 100MiB' -r
complete -c kq -n "__fish_kq_using_subcommand dev" -l retention-ms -d 'Delete records older than this many milliseconds' -r
complete -c kq -n "__fish_kq_using_subcommand dev" -l offset-metadata-max-bytes -d 'Refuse commits with longer metadata [default: 4096]: for tests of what clients make of that' -r
complete -c kq -n "__fish_kq_using_subcommand dev" -s b -l brokers -d 'Brokers to start from, comma-separated [env: KQ_BROKERS] [default: localhost:9092]' -r
complete -c kq -n "__fish_kq_using_subcommand dev" -l client-id -d 'The client\'s name in the brokers\' logs [env: KQ_CLIENT_ID] [default: kq]' -r
complete -c kq -n "__fish_kq_using_subcommand dev" -l timeout -d 'Limit for finding the cluster, and for each request: 10s, 500ms, 2m [env: KQ_TIMEOUT] [default: 10s]' -r
complete -c kq -n "__fish_kq_using_subcommand dev" -s X -d 'Any librdkafka property, repeatable [env: KQ_X=name=value,name=value]; `-X list` prints them' -r
complete -c kq -n "__fish_kq_using_subcommand dev" -s F -l config-file -d 'A file with properties of librdkafka, kcat or Java; variables and flags rank above it [env: KQ_CONFIG_FILE]' -r
complete -c kq -n "__fish_kq_using_subcommand dev" -l tls-ca -d 'CA certificates to trust instead of the system\'s, PEM; turns TLS on [env: KQ_TLS_CA]' -r
complete -c kq -n "__fish_kq_using_subcommand dev" -l tls-cert -d 'The client\'s certificate, PEM [env: KQ_TLS_CERT]' -r
complete -c kq -n "__fish_kq_using_subcommand dev" -l tls-key -d 'The private key of that certificate, PEM; not needed if it is in the same file [env: KQ_TLS_KEY]' -r
complete -c kq -n "__fish_kq_using_subcommand dev" -l tls-key-password -d 'The password of that key. Other users of this machine can see flags, so prefer the variable [env: KQ_TLS_KEY_PASSWORD]' -r
complete -c kq -n "__fish_kq_using_subcommand dev" -l sasl-mechanism -d 'PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER; turns TLS on unless all brokers are on loopback [env: KQ_SASL_MECHANISM]' -r
complete -c kq -n "__fish_kq_using_subcommand dev" -l sasl-username -d 'User to log in as [env: KQ_SASL_USERNAME]' -r
complete -c kq -n "__fish_kq_using_subcommand dev" -l sasl-password -d 'Password. Other users of this machine can see flags, so prefer the file or the variable [env: KQ_SASL_PASSWORD]' -r
complete -c kq -n "__fish_kq_using_subcommand dev" -l sasl-password-file -d 'File that contains the password [env: KQ_SASL_PASSWORD_FILE]' -r
complete -c kq -n "__fish_kq_using_subcommand dev" -l log-format -d 'How notes and errors are written to stderr [env: KQ_LOG_FORMAT] [default: text]' -r -f -a "text\t'Lines after `kq: `; those of worker, of dev and of a consume that follows begin with the time (RFC 3339, UTC) where stderr is neither a terminal nor systemd\'s journal'
json\t'One JSON object a line: time, level (error, info, debug, trace; command for what a worker\'s COMMAND wrote), message, and topic, partition, offset where it is about one; repeated where it counts'"
complete -c kq -n "__fish_kq_using_subcommand dev" -l color -d 'Colours in help and errors; NO_COLOR is honoured [default: auto]' -r -f -a "auto\t''
always\t''
never\t''"
complete -c kq -n "__fish_kq_using_subcommand dev" -l no-auto-create -d 'Do not create topics on first use'
complete -c kq -n "__fish_kq_using_subcommand dev" -l strict -d 'Refuse what a single Kafka node refuses: a replication factor above 1'
complete -c kq -n "__fish_kq_using_subcommand dev" -l tls -d 'Encrypt the connection [env: KQ_TLS=1]'
complete -c kq -n "__fish_kq_using_subcommand dev" -l no-tls -d 'Do not encrypt the connection, even with SASL to another machine [env: KQ_TLS=0]'
complete -c kq -n "__fish_kq_using_subcommand dev" -l tls-insecure -d 'Trust any certificate: anyone on the network path can then read and change records [env: KQ_TLS_INSECURE=1]'
complete -c kq -n "__fish_kq_using_subcommand dev" -s q -l quiet -d 'Hide notes and summaries; errors stay'
complete -c kq -n "__fish_kq_using_subcommand dev" -s v -l verbose -d 'Print more notes; repeat it for librdkafka\'s own log'
complete -c kq -n "__fish_kq_using_subcommand dev" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kq -n "__fish_kq_using_subcommand dev" -s V -l version -d 'Print version'
complete -c kq -n "__fish_kq_using_subcommand help; and not __fish_seen_subcommand_from topic produce consume worker serve config dev help" -f -a "topic" -d 'Create, list, describe, alter and delete topics'
complete -c kq -n "__fish_kq_using_subcommand help; and not __fish_seen_subcommand_from topic produce consume worker serve config dev help" -f -a "produce" -d 'Put records into a topic: lines of stdin or of files'
complete -c kq -n "__fish_kq_using_subcommand help; and not __fish_seen_subcommand_from topic produce consume worker serve config dev help" -f -a "consume" -d 'Get records out of topics: to stdout'
complete -c kq -n "__fish_kq_using_subcommand help; and not __fish_seen_subcommand_from topic produce consume worker serve config dev help" -f -a "worker" -d 'Run a command for each record'
complete -c kq -n "__fish_kq_using_subcommand help; and not __fish_seen_subcommand_from topic produce consume worker serve config dev help" -f -a "serve" -d 'Publish what is sent over HTTP, and answer once the cluster has it'
complete -c kq -n "__fish_kq_using_subcommand help; and not __fish_seen_subcommand_from topic produce consume worker serve config dev help" -f -a "config" -d 'Look at the configuration'
complete -c kq -n "__fish_kq_using_subcommand help; and not __fish_seen_subcommand_from topic produce consume worker serve config dev help" -f -a "dev" -d 'Run an embedded Kafka-compatible broker, for development'
complete -c kq -n "__fish_kq_using_subcommand help; and not __fish_seen_subcommand_from topic produce consume worker serve config dev help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c kq -n "__fish_kq_using_subcommand help; and __fish_seen_subcommand_from topic" -f -a "create" -d 'Create topics, and wait until they can be used'
complete -c kq -n "__fish_kq_using_subcommand help; and __fish_seen_subcommand_from topic" -f -a "list" -d 'List topics with their partitions and replication factor'
complete -c kq -n "__fish_kq_using_subcommand help; and __fish_seen_subcommand_from topic" -f -a "describe" -d 'Show partitions, leaders, replicas, watermarks, and configuration set on the topic'
complete -c kq -n "__fish_kq_using_subcommand help; and __fish_seen_subcommand_from topic" -f -a "alter" -d 'Give a topic more partitions, or change its configuration'
complete -c kq -n "__fish_kq_using_subcommand help; and __fish_seen_subcommand_from topic" -f -a "delete" -d 'Delete topics and their records: only those named here, never KQ_TOPIC'
complete -c kq -n "__fish_kq_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "show" -d 'Print every value of the connection and where it came from'
