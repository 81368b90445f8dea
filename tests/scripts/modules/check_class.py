"""Form C."""
import lib.basecheck
import lib.getconfig


class Check(lib.basecheck.CheckBase):
    check_type = 'classy'

    def precheck(self):
        # Nothing of the last run is left.
        level = 1 + len(self.local_vars)
        self.local_vars.append({'name': 'class_level', 'timestamp': self.timestamp, 'value': level})
        before = self.last.return_last_value('t', self.timestamp)
        self.local_vars.append({'name': 'class_step', 'timestamp': self.timestamp, 'value': self.timestamp - before if before else 1})
