"""Form B, with a rate that is scaled: the first is a plain 0."""
import time
import lib.record_rate

rate = lib.record_rate.ValueRate()
check_type = 'listed'
count = 0


def runcheck():
    global count
    count = count + 50 if count < 200 else 0
    now = int(time.time())
    grows = rate.record_value_rate('count', count, now)
    return [
        {'name': 'list_rate', 'timestamp': now, 'value': grows, 'chart_type': 'Rate', 'reaction': -1},
        {'name': 'list_scaled', 'timestamp': now, 'value': grows * 8, 'check_type': 'own_type'},
        {'name': 'list_delta', 'timestamp': now, 'value': rate.record_value_delta('count', count)},
    ]
