"""``python -m tests.mutation``: every mutant has to be killed or listed; exit status 1 if one is neither.

Every module by default, or those that are named. Progress goes to the standard output, a line for each mutant that survives.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import tomllib
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from tests.mutation.mutants import Address, LeftOut, Mutant, mutants_of
from tests.mutation.survivors import listed
from tests.mutation.trial import PROJECT, Outcome, Project, Stage, Times, Trial, modules_in, preload

CONFIG: Final = Path(__file__).with_name("config.toml")
PACKAGE: Final = PROJECT / "src" / "chanstream"


class Config:
    def __init__(self, *, quick: bool) -> None:
        content = tomllib.loads(CONFIG.read_text(encoding="utf-8"))
        self.stages = {name: Stage(name, **each) for name, each in content["stages"].items()}
        self.modules: dict[str, list[str]] = content["modules"]
        self.wide: set[str] = set(content["wide"])
        self.quick = quick
        self.left_out = [LeftOut(**each) for each in content["left_out"]]

    def of(self, module: str, *, quick: bool) -> list[Stage]:
        names = self.modules.get(module, self.modules[""])
        return [self.stages[name] for name in names if not quick or name not in self.wide]


def wait_for(trial: Trial) -> Outcome:
    while (outcome := trial.poll()) is None:
        time.sleep(0.01)
    return outcome


class Unchanged:
    """Each stage passes on the library as it is, and fails on one that can't be imported. Tried before the stage is first used."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.times = Times()
        self.passed: set[str] = set()

    def check(self, stage: Stage) -> None:
        if stage.name in self.passed:
            return
        outcome = wait_for(Trial(self.project, stage, self.times))
        if outcome.killed:
            print(self.project.output.read_text(encoding="utf-8"))
            sys.exit(f"{stage.name} fails on the unchanged library: {outcome.how}")
        if stage.explorer:
            self.times.seconds[stage.name] = outcome.seconds
        else:
            self.times.seconds |= json.loads((self.project.directory / "times.json").read_text(encoding="utf-8"))
        source = (self.project.package / "errors.py").read_text(encoding="utf-8")
        self.project.put("errors.py", "raise RuntimeError\n")
        broken = wait_for(Trial(self.project, stage, self.times))
        self.project.put("errors.py", source)
        if not broken.killed:
            sys.exit(f"{stage.name} does not test the copy of the library")
        self.passed.add(stage.name)
        print(f"{stage.name} passes on the unchanged library in {outcome.seconds:.1f} s", flush=True)


@dataclass
class Running:
    mutant: Mutant
    stages: deque[Stage]
    trial: Trial


class Run:
    def __init__(self, config: Config, survivors: dict[Address, str], log: Path | None) -> None:
        self.config = config
        self.survivors = survivors
        self.log = log
        self.began = time.monotonic()
        self.killed: Counter[str] = Counter()
        self.excused: Counter[str] = Counter()
        self.alive: list[Mutant] = []
        self.total = 0
        self.before: dict[str, str] = {}
        if log is not None and log.exists():
            lines = log.read_text(encoding="utf-8").splitlines()
            self.before = {result["mutant"]: result["how"] for result in map(json.loads, lines)}

    def ended(self, mutant: Mutant, how: str) -> None:
        """`how` is empty for one that survived."""
        if how:
            self.killed[mutant.module] += 1
            if mutant.address in self.survivors:
                print(f"listed as a survivor, but killed by {how}:\n{mutant}")
        elif mutant.address in self.survivors:
            self.excused[mutant.module] += 1
        else:
            self.alive.append(mutant)
            print(f"SURVIVED {mutant}")
        done = len(self.alive) + self.killed.total() + self.excused.total()
        if not how or done % 20 == 0:
            print(f"{done} of {self.total} in {time.monotonic() - self.began:.0f} s, {len(self.alive)} survived", flush=True)
        name = fingerprint(mutant)
        if self.log is not None and self.before.get(name) != how:
            with self.log.open("a", encoding="utf-8") as file:
                print(json.dumps({"mutant": name, "how": how, "text": str(mutant)}), file=file)

    def stages(self, mutant: Mutant) -> deque[Stage]:
        # What is listed with a reason is not tried at length again.
        return deque(self.config.of(mutant.module, quick=self.config.quick or mutant.address in self.survivors))

    def test(self, mutants: Sequence[Mutant], jobs: int, original: Project) -> None:
        self.total = len(mutants)
        waiting = deque(mutants)
        for mutant in mutants:
            if (how := self.before.get(fingerprint(mutant))) is not None and (how or mutant.address in self.survivors):
                waiting.remove(mutant)
                self.ended(mutant, how)
        unchanged = Unchanged(original)
        sources = original.sources()
        copies = (original.directory.with_name(f"copy{number}") for number in range(jobs))
        free = [Project(copy, original.directory) for copy in copies]
        running: list[Running] = []
        while waiting or running:
            while waiting and free:
                mutant, project = waiting.popleft(), free.pop()
                stages = self.stages(mutant)
                unchanged.check(stages[0])
                project.put(mutant.module, mutant.source)
                running.append(Running(mutant, stages, Trial(project, stages.popleft(), unchanged.times)))
            for each in list(running):
                outcome = each.trial.poll()
                if outcome is None:
                    continue
                project = each.trial.project
                if not outcome.killed and each.stages:
                    stage = each.stages.popleft()
                    unchanged.check(stage)
                    each.trial = Trial(project, stage, unchanged.times)
                    continue
                self.ended(each.mutant, outcome.how)
                project.put(each.mutant.module, sources[each.mutant.module])
                running.remove(each)
                free.append(project)
            time.sleep(0.01)

    def report(self, mutants: Sequence[Mutant]) -> None:
        print(f"\n{'':16}{'mutants':>9}{'killed':>9}{'listed':>9}{'survived':>9}{'score':>9}")
        counts = Counter(mutant.module for mutant in mutants)
        alive = Counter(mutant.module for mutant in self.alive)
        for module, count in counts.items():
            self.line(module, count, self.killed[module], self.excused[module], alive[module])
        self.line("together", counts.total(), self.killed.total(), self.excused.total(), alive.total())

    def line(self, name: str, count: int, killed: int, excused: int, alive: int) -> None:
        print(f"{name:16}{count:>9}{killed:>9}{excused:>9}{alive:>9}{killed / count:>9.1%}")


def fingerprint(mutant: Mutant) -> str:
    return sha256(f"{mutant.module}\n{mutant.source}".encode()).hexdigest()[:16]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    modules = modules_in(PACKAGE)
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=f"of {', '.join(modules)} (default: all)")
    parser.add_argument("--jobs", type=int, default=2, help="mutants that are tested side by side (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="without the wide stages, so some may survive that need not")
    parser.add_argument("--list", action="store_true", help="only list the mutants, and what is listed as surviving but is none")
    parser.add_argument("--log", type=Path, help="append what comes of each mutant, and don't test again what was killed before")
    options = parser.parse_args()
    if unknown := set(options.modules) - set(modules):
        parser.error(f"no such module: {', '.join(unknown)}")
    chosen: list[str] = options.modules or modules
    config, survivors = Config(quick=options.quick), listed()
    run = Run(config, survivors, options.log)
    with tempfile.TemporaryDirectory(prefix="chanstream-mutation-") as directory:
        original = Project(Path(directory) / "original")
        sources = original.sources()
        mutants = [mutant for module in chosen for mutant in mutants_of(module, sources[module], config.left_out)]
        print(f"{len(mutants):,} mutants", flush=True)
        addresses = {mutant.address for mutant in mutants}
        stale = [each for each in survivors if each.module in chosen and each not in addresses]
        for each in stale:
            print(f"listed, but there is no such mutant: {each}", flush=True)
        if options.list:
            print(*mutants, sep="\n")
            return bool(stale)
        preload()
        run.test(mutants, options.jobs, original)
    run.report(mutants)
    return bool(run.alive or stale)


if __name__ == "__main__":
    sys.exit(main())
