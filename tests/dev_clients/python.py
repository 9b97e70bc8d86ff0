"""confluent-kafka against the broker in KQ_BROKERS: kq dev -- python3 tests/dev_clients/python.py"""
import os, time, sys, signal, subprocess
from confluent_kafka import Producer, Consumer, TopicPartition, ConsumerGroupTopicPartitions
from confluent_kafka.admin import *
B=os.environ['KQ_BROKERS']; print(__import__('confluent_kafka').libversion())
a=AdminClient({'bootstrap.servers':B})
print('create',[f.result(10) for f in a.create_topics([NewTopic('py',num_partitions=3,replication_factor=1)]).values()])
n=0
for z in ['none','gzip','snappy','lz4','zstd']:
    p=Producer({'bootstrap.servers':B,'compression.type':z,'enable.idempotence':True}); 
    for i in range(200): p.produce('py',key=str(i),value=z+str(i)*3,headers=[('h',None),('h',b'1')])
    assert p.flush(10)==0; n+=200
def cons(g,**k):
    return Consumer({'bootstrap.servers':B,'group.id':g,'auto.offset.reset':'earliest','session.timeout.ms':1500,'heartbeat.interval.ms':300,'partition.assignment.strategy':'cooperative-sticky',**k})
c=cons('g'); c.subscribe(['py']); got=0; t=time.time()
while got<n and time.time()-t<15:
    m=c.poll(1)
    if m and not m.error(): got+=1
print('consumed',got,'of',n); assert got==n; c.commit(asynchronous=False)
child=subprocess.Popen([sys.executable,'-c','''
import os,time
from confluent_kafka import Consumer
c=Consumer({'bootstrap.servers':os.environ['KQ_BROKERS'],'group.id':'g','auto.offset.reset':'earliest','session.timeout.ms':1500,'heartbeat.interval.ms':300,'partition.assignment.strategy':'cooperative-sticky'})
c.subscribe(['py'])
while True:
    c.poll(0.1)
'''])
t=time.time()
while len(c.assignment())==3 and time.time()-t<15: c.poll(0.1)
print('after second joined', len(c.assignment()), round(time.time()-t,2))
d=a.describe_consumer_groups(['g'])['g'].result(10); print(d.state,[ (m.client_id,len(m.assignment.topic_partitions)) for m in d.members])
child.kill(); t=time.time()
while len(c.assignment())<3 and time.time()-t<15: c.poll(0.1)
print('after kill', len(c.assignment()), round(time.time()-t,2),'s'); assert len(c.assignment())==3
c.close()
c=cons('g'); c.subscribe(['py']); t=time.time(); x=0
while time.time()-t<2:
    m=c.poll(0.2); x+= bool(m and not m.error())
print('resumed extra',x); assert x==0; c.close()
print('list',[g.group_id for g in a.list_consumer_groups().result(10).valid])
r=a.list_consumer_group_offsets([ConsumerGroupTopicPartitions('g')])['g'].result(10); print('offsets',sum(p.offset for p in r.topic_partitions))
r=a.list_offsets({TopicPartition('py',0):OffsetSpec.max_timestamp(),TopicPartition('py',1):OffsetSpec.latest()}); print([ (k.partition,f.result(10).offset) for k,f in r.items()])
print('cfg',[ {k:v.value for k,v in f.result(10).items()}['max.message.bytes'] for f in a.describe_configs([ConfigResource('topic','py')]).values()])
print('incr',[f.result(10) for f in a.incremental_alter_configs([ConfigResource('topic','py',incremental_configs=[ConfigEntry('retention.ms','1000000',incremental_operation=AlterConfigOpType.SET)])]).values()])
print('delrec',[f.result(10).low_watermark for f in a.delete_records([TopicPartition('py',0,10)]).values()])
print('parts',[f.result(10) for f in a.create_partitions([NewPartitions('py',5)]).values()])
print('cluster',a.describe_cluster().result(10).cluster_id)
print('delgroup',[f.result(10) for f in a.delete_consumer_groups(['g']).values()])
print('deltopic',[f.result(10) for f in a.delete_topics(['py']).values()])
try:
    p=Producer({'bootstrap.servers':B,'transactional.id':'x'}); p.init_transactions(5)
    sys.exit('a transaction was accepted')
except Exception as e: print('txn refused:',str(e)[:110])
