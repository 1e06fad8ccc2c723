# SPDX-License-Identifier: Apache-2.0
"""From a guest's events to the stages `kernel`, `survive` and `fair` of a verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from policy_lake.codes import Code
from policy_lake.coverage import Coverage
from policy_lake.errors import InfraError, LostVMError
from policy_lake.events import Attached, Detached, LaidOut, NotDone, ProgramEvent, Ran, Role, StepEvent
from policy_lake.model import Finding, Stage, Verdict
from verifier_vm.coverage.joined import joined
from verifier_vm.judge.came_back import with_its_cpu
from verifier_vm.judge.console import kernel_death, shorten_verifier_log
from verifier_vm.judge.facts import Facts, read_facts
from verifier_vm.judge.fairness import ALONE, compare
from verifier_vm.judge.kernel_words import cause_of_warnings
from verifier_vm.judge.loading import MEMORY_MIB, load_findings
from verifier_vm.judge.oracles import left_cleanly, partly, survived
from verifier_vm.judge.part import Part
from verifier_vm.judge.readings import Reading, read_run
from verifier_vm.object.proven import proven_of
from verifier_vm.situations import Situation, in_order, made_by
from verifier_vm.verdict import stage_of, verdict_of

EVIDENCE_LINES = 40
TWO_CPUS = 2  # with them a task's mask is all or one, and there is no CPU in between to choose wrongly
EVIDENCE_BYTES = 8000
NO_GUEST = "a guest told nothing of it"
NO_END = "the guest reported an attached policy and then no end"


def may_be_the_host(verdict: Verdict) -> bool:
    """Whether a rejection is one that a host too busy to run the guest could have caused."""
    rejection = verdict.rejection
    return rejection is not None and rejection.stage != "kernel" and rejection.code.time_bound


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads the events of a job that began with `part.steps` of the same limit."""

    data: bytes
    part: Part
    limit_ms: int
    check_all: bool = False
    cgroups: bool = False
    memory_mib: int = MEMORY_MIB
    arguments: tuple[str, ...] = ()

    def read(self, events: Sequence[StepEvent], *, kernel: str) -> Verdict:
        """The verdict; LostVMError when the events are too few, InfraError when the guest could not begin a step."""
        stages: list[Stage] = []
        for stage in self._stages(events):
            stages.append(stage)
            if not stage.ok and not self.check_all:
                break
        ops = events[0].ops if isinstance(events[0], Attached) else ""
        return verdict_of(stages, ops=ops, data=self.data, kernel=kernel)

    def _stages(self, events: Sequence[StepEvent]) -> Iterator[Stage]:
        if not events:
            raise LostVMError("the guest reported no step")
        attach, rest = events[0], events[1:]
        if not isinstance(attach, Attached):
            raise InfraError(f"step '{attach.label}': the guest did not attach: {getattr(attach, 'err', '')}")
        log = shorten_verifier_log(attach.log).splitlines()
        yield _stage("kernel", attach.wall_s, tuple(self._loaded(attach)), [*attach.kmsg, *log])
        if not attach.ok:
            return
        if not rest:
            raise LostVMError(NO_END)
        facts = read_facts(attach)
        while_on = [event for event in rest if _while_on(event)]
        survive = self._judged(facts, lambda known: self._survive_stage(while_on, known))
        yield survive
        policy, base = _readings(rest, "policy"), _readings(rest, "baseline")
        if not all(
            exercise.name in policy and (exercise.name in base or not exercise.base_s)
            for exercise in self.part.exercises
        ):
            if survive.ok:
                raise LostVMError("the guest reported no end of the comparison with EEVDF")
            return
        if survive.ok and not {exercise.name for exercise in self.part.last} <= {event.exercise for event in rest}:
            raise LostVMError("the guest reported no end of what ends the policy")
        seconds = sum(event.wall_s for event in rest if event.exercise and event.role == "baseline")
        yield self._judged(facts, lambda known: self._fair_stage(policy, base, known, seconds))

    def _judged(self, facts: Facts, made: Callable[[Facts], Stage]) -> Stage:
        """A stage; only for one that fails it takes the time to ask what the object cannot do."""
        stage = made(facts)
        return stage if stage.ok else made(replace(facts, proven=proven_of(self.data, self.arguments)))

    def _loaded(self, event: Attached) -> Iterator[Finding]:
        return load_findings(event, self.data, self.memory_mib)

    def _survive_stage(self, events: Sequence[StepEvent], facts: Facts) -> Stage:
        findings: list[Finding] = []
        evidence: list[str] = []
        for at, event in enumerate(events):
            detach = _taken_off(events, at)
            said = self._of_event(event, detach, facts, fell=_fell_before(events[:at]))
            told = map(self._with_guest, said)
            own = [with_its_cpu(one, event, events[:at], self._workloads, detach.dump) for one in told]
            findings += own
            if any(finding.level == "reject" for finding in own):
                # The end is what is kept: the words of the kernel, of which the dump is the longest and least read.
                evidence += [detach.dump, *event.kmsg, *detach.kmsg]
                evidence += [event.out, event.err] if isinstance(event, ProgramEvent) else []
        stage = _stage("survive", sum(event.wall_s for event in events), list(_once(findings)), evidence)
        tried = (self.part.topology,) if stage.ok and self.part.topology and self.part.counts else ()
        return replace(stage, situations=self._met(events, findings), topologies=tried)

    @property
    def _workloads(self) -> dict[str, str]:
        return {exercise.name: exercise.workloads for exercise in (*self.part.exercises, *self.part.last)}

    def _with_guest(self, finding: Finding) -> Finding:
        """A rejection with the guest that it was seen in, where the policy's own constants asked for that."""
        if finding.level != "reject" or not self.part.asked_for:
            return finding
        return replace(finding, reason=f"{finding.reason}; in a guest that its constants ask for: {self.part.name}")

    def _met(self, events: Sequence[StepEvent], findings: Sequence[Finding]) -> tuple[str, ...]:
        """The situations that the policy met to their end, or that ended it as it says of itself."""
        ended = {finding.place for finding in findings if finding.code == Code.ENDED_BY_HOTPLUG}
        met: list[str] = [Situation.ATTACH]
        for event in events:
            if isinstance(event, Ran) and (event.ok or event.exercise in ended):
                met += () if self._fell_short(event) else made_by(self._workloads.get(event.exercise, ""))
                met += [Situation.MANY_CPUS] if event.ok and read_run(event).cpus > TWO_CPUS else []
            elif isinstance(event, Detached) and event.ok and event.label:
                met.append(Situation.DETACH)
            elif isinstance(event, Attached) and event.ok:
                met.append(Situation.RELOAD)
        if not any(finding.level == "reject" for finding in findings):
            met += self.part.meets
        return in_order(met)

    def _fell_short(self, event: Ran) -> bool:
        """Whether fewer threads came and went than the exercise was to make, for its time was over."""
        wanted = next((one.in_turn for one in self.part.exercises if one.name == event.exercise), 0)
        return event.ok and read_run(event).figure("came") < wanted

    def _of_event(self, event: StepEvent, detach: Detached, facts: Facts, *, fell: bool) -> Iterator[Finding]:
        match event:
            case Ran():
                yield from survived(event, detach, facts, self.limit_ms)
            case Detached():
                # A policy that fell off is judged where it fell.
                if event.exit_record.clean or not fell:
                    yield from left_cleanly(event, has_exit="exit" in facts.callbacks, proven=facts.proven)
            case Attached():
                yield from self._loaded(event)
            case NotDone(verb="run"):
                why = f"the workload could not be started under the policy: {event.err}"
                yield Finding("kernel", "reject", why, event.exercise, code=Code.WORKLOAD_FAILED)
            case NotDone(verb="attach" | "layout" | "detach"):
                raise InfraError(f"step '{event.label}': the guest did not {event.verb}: {event.err}")
            case _ if not event.ok and not isinstance(event, LaidOut):
                why = f"the load beside it could not be {'started' if isinstance(event, NotDone) else 'stopped'}"
                yield Finding("kernel", "reject", why, "W17", code=Code.LOAD_BESIDE)

    def _fair_stage(self, policy: dict[str, Reading], base: dict[str, Reading], facts: Facts, seconds: float) -> Stage:
        some = next(iter(policy.values()), None)  # none where all that was tried is what ends the policy
        findings = (*(partly(some) if some else ()), *compare(policy, base, facts, cgroups=self.cgroups))
        evidence = [
            f"{name}: {_totals(policy[name])}" + (f"; EEVDF: {_totals(base[name])}" if name in base else "")
            for name in policy
            if name in base or name in ALONE
        ]
        return _stage("fair", seconds, findings, evidence)


def verdict_of_death(error: LostVMError, data: bytes) -> Verdict:
    """A rejection when the console tells how the guest's kernel died; otherwise the error itself is raised again."""
    death = kernel_death(error.console)
    if death is None:
        raise error
    cause = cause_of_warnings(error.console.splitlines(), death)
    why = f"the guest's kernel died: {death}"
    findings = (Finding(cause.bug, "reject", why, "kernel", cause.advice, Code.KERNEL_DEATH, basis=cause.basis),)
    stage = _stage("survive", 0.0, findings, error.console.splitlines()[-EVIDENCE_LINES:])
    return verdict_of((stage,), data=data)


def merged(verdicts: Sequence[Verdict]) -> Verdict:
    """One verdict of several guests: accepted if all accept; stages of one name become one."""
    stages: dict[str, Stage] = {}
    for stage in (stage for verdict in verdicts for stage in verdict.stages):
        known = stages.get(stage.name, Stage(stage.name, True, 0.0))
        evidence = [part for part in (known.evidence, stage.evidence) if part]
        findings = list(_once([*known.findings, *stage.findings]))
        made = _stage(stage.name, known.seconds + stage.seconds, findings, evidence)
        met = in_order((*known.situations, *stage.situations))
        tried = tuple(dict.fromkeys((*known.topologies, *stage.topologies)))
        stages[stage.name] = replace(made, situations=met, topologies=tried)
    rejection = next((verdict.rejection for verdict in verdicts if verdict.rejection), None)
    ran = joined([verdict.coverage or Coverage(NO_GUEST) for verdict in verdicts])
    return replace(
        verdicts[-1], accepted=rejection is None, rejection=rejection, stages=tuple(stages.values()), coverage=ran
    )


def _stage(name: str, seconds: float, findings: Sequence[Finding], evidence: Sequence[str]) -> Stage:
    lines = "\n".join(line for line in evidence if line.strip())
    return stage_of(name, seconds, findings, lines[-EVIDENCE_BYTES:])


def _once(findings: Sequence[Finding]) -> Iterator[Finding]:
    """Each bug at each place once, an end by hotplug once in all: rounds, guests and exercises say the same again."""
    known = set()
    for finding in findings:
        place = "" if finding.code == Code.ENDED_BY_HOTPLUG else finding.place
        key = (finding.bug, place, finding.level, finding.code == Code.ENDED_BY_HOTPLUG)
        if key not in known:
            known.add(key)
            yield finding


def _fell_before(events: Sequence[StepEvent]) -> bool:
    """Whether the last that was attached fell off in a run."""
    since = next((i for i in range(len(events) - 1, -1, -1) if isinstance(events[i], Attached)), -1)
    return any(isinstance(event, Ran) and not event.sched.steady for event in events[since + 1 :])


def _taken_off(events: Sequence[StepEvent], at: int) -> Detached:
    """How the policy that was on at this event was taken off: the kernel says why only then. LostVMError if never."""
    ends = [(index, event) for index, event in enumerate(events) if isinstance(event, Detached)]
    if not ends:
        raise LostVMError(NO_END)
    return next((end for index, end in ends if index >= at), ends[-1][1])


def _while_on(event: StepEvent) -> bool:
    """Whether the suite did this with the policy, and not EEVDF's turn or a measurement after it."""
    if isinstance(event, Ran) or (isinstance(event, NotDone) and event.verb == "run"):
        return event.exercise != "" and event.role == "policy"
    return True


def _readings(events: Sequence[StepEvent], role: Role) -> dict[str, Reading]:
    ours = [event for event in events if isinstance(event, Ran) and event.exercise and event.role == role and event.ok]
    return {reading.name: reading for reading in map(read_run, ours)}


def _totals(reading: Reading) -> str:
    groups = ", ".join(
        f"{name} {group.run_ms:.0f} ms CPU, {group.delay_ms:.0f} ms waiting" for name, group in reading.groups.items()
    )
    return f"{groups} in {reading.wall_ms:.0f} ms"
