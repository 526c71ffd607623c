# id: res-clock-jump
# class: resource
# attempts: set timers and handlers that swallow every signal of the executor
# expect: timeout
# wall: 2

import signal, time
async def main():
    for s in range(1, 65):
        try:
            signal.signal(s, signal.SIG_IGN)
        except (OSError, ValueError):
            pass
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
    while True:
        time.sleep(1)
