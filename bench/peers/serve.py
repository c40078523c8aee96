"""The peer protocol's other side, in Python: announces versions, runs `work` for each line, prints its time."""
import json, resource, sys, time


def serve(versions, work, times=1):
    print(json.dumps(versions), flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        for _ in range(times):
            work()
        elapsed = (time.perf_counter() - start) * 1000 / times
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps({"milliseconds": elapsed, "peakBytes": peak}), flush=True)
