"""Uses a package that only the venv has."""
import time
import only_in_venv


def runcheck():
    return [{'name': 'venv_answer', 'timestamp': int(time.time()), 'value': only_in_venv.ANSWER}]
