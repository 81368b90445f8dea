# Added by its reader: the imports, `cluster_name`, `check_type`, `key`, a colon, the indentation.
import datetime
import lib.record_rate
import lib.pushdata

cluster_name = lib.pushdata.cluster_name
check_type = 'test'
key = 'seed_rate'

def runcheck():
    rate=lib.record_rate.ValueRate()
    jsondata=lib.pushdata.JonSon()
    jsondata.prepare_data()
    name='some_metric'
    value=10 # Values needed for calculations rate 
    timestamp = int(datetime.datetime.now().strftime("%s"))
    value_rate=rate.record_value_rate(key, value, timestamp)
    jsondata.gen_data(key, timestamp, value_rate, lib.pushdata, check_type, cluster_name)
    jsondata.put_json()
