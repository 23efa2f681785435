import type { Fault } from './history.ts';
import type { Running } from './running.ts';
import type { World } from './world.ts';

/** Sees to it that the faults of an invocation strike its process, at their times or before the calls that they wait for. */
export function planFaults(faults: Fault[], run: Running, stop: AbortController, { timeline, tell }: World): void {
  const { process } = run;
  const waiting = faults.filter((fault) => 'call' in fault);

  function strike(fault: Fault) {
    tell(`${process.name}: ${JSON.stringify(fault)}`);
    if (fault.kind === 'kill') process.kill();
    else if (fault.kind === 'jump') process.jump(fault.byMs);
    else if (fault.kind === 'terminate') {
      run.terminatedMonotonicMs ??= process.monotonicMs();
      process.arrive(() => stop.abort());
    } else process.stop(fault.forMs, fault.kind === 'suspend');
  }

  for (const fault of faults) {
    if ('afterMs' in fault)
      timeline.at(timeline.nowMs + fault.afterMs, () => {
        if (!run.outcome) strike(fault);
      });
  }
  process.onCall = (call) => {
    const due = waiting.filter((fault) => 'call' in fault && fault.call === call);
    for (const fault of due) strike(fault);
    return !process.dead || due.some((fault) => fault.kind === 'kill' && fault.callLeaves === true);
  };
}
