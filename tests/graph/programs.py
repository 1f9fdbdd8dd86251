"""Workflows written at random, as source: every shape of control flow in every other."""

from __future__ import annotations

import random
from textwrap import indent

__all__ = ["written"]

_HEAD = '''"""Made at random."""

from flowkit import Break, Continue, CriticalError, attempt, checkpoint, join, loop, race, sleep, step, version, workflow


@step
def charge(n=0):
    return n


@step
def tell(n=0):
    if n % 5 == 3:
        raise CriticalError("no")
    return n

'''


def written(seed: int) -> str:
    """The source of a module with a workflow `made`, which takes a number."""
    writer = _Writer(random.Random(seed))
    body = writer.block(3)
    return _HEAD + "".join(writer.helpers) + f"\n\n@workflow\ndef made(n: int):\n{indent(body, '    ')}"


class _Writer:
    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._count = 0
        self._again = False
        self.helpers: list[str] = []

    def block(self, depth: int) -> str:
        """Some statements."""
        return "".join(self._statement(depth) for _ in range(self._chance.randint(1, 3)))

    def _fresh(self, what: str) -> str:
        self._count += 1
        return f"{what}{self._count}"

    def _statement(self, depth: int) -> str:
        flat = [self._call, self._call, self._renamed, self._nap, self._gate]
        deep = [
            self._if,
            self._match,
            self._for,
            self._try,
            self._loop,
            self._branches,
            self._attempt,
            self._helper,
            self._listed,
        ]
        return self._chance.choice(flat + deep * (depth > 0))(depth)

    def _call(self, depth: int) -> str:
        name = self._chance.choice(["charge", "tell"])
        return self._chance.choice(
            [f"{name}.attempt(n)\n", f"charge(n + {self._chance.randint(1, 9)})\n", f"{name}.attempt(\n    n,\n)\n"]
        )

    def _renamed(self, depth: int) -> str:
        name = self._fresh("own")
        if self._again:  # the same name would be given twice
            return "charge.options(retries=n % 3)(n)\n"
        return self._chance.choice(
            [
                f'charge.options(name="{name}-" + str(n))(n)\n',
                f'step(lambda: 1, name=f"{name}-{{n}}")()\n',
                f'step(charge, name="{name}")(n)\n',
            ]
        )

    def _nap(self, depth: int) -> str:
        name = self._fresh("nap")
        return "sleep(1)\n" if self._again else self._chance.choice(["sleep(1)\n", f'sleep(\n    1, name=f"{name}-{{n}}"\n)\n'])

    def _gate(self, depth: int) -> str:
        name = self._fresh("at")
        if self._again:
            return "sleep(n)\n"
        return self._chance.choice([f'checkpoint(f"{name}-{{n}}")\n', f'version("{name}", 2)\n'])

    def _if(self, depth: int) -> str:
        arms = [f"if n % {self._chance.randint(2, 4)} == 0:\n{self._inner(depth)}"]
        arms += [f"elif n % {k} == 1:\n{self._inner(depth)}" for k in (3, 5)[: self._chance.randint(0, 2)]]
        return "".join(arms) + (f"else:\n{self._inner(depth)}" if self._chance.random() < 0.6 else "")

    def _match(self, depth: int) -> str:
        cases = [f"case {k}:\n{self._inner(depth)}" for k in range(self._chance.randint(1, 2))] + [
            f"case _:\n{self._inner(depth)}"
        ]
        return "match n % 3:\n" + indent("".join(cases), "    ")

    def _for(self, depth: int) -> str:
        return f"for n in range(n, n + {self._chance.randint(1, 3)}):\n{self._inner(depth, again=True)}"

    def _listed(self, depth: int) -> str:
        return "[charge(each) for each in (1, 2)]\n"

    def _try(self, depth: int) -> str:
        raises = "    tell(n)\n" if self._chance.random() < 0.5 else ""
        return f"try:\n{self._inner(depth)}{raises}except CriticalError:\n{self._inner(depth)}"

    def _loop(self, depth: int) -> str:
        name = self._fresh("turn")
        body = f"{self._inner(depth, again=False)}    return Break(n) if n > 1 else Continue(n + 1)\n"
        return f"def {name}(n):\n{body}loop({name}, state=0)\n"

    def _branches(self, depth: int) -> str:
        first, second = self._fresh("branch"), self._fresh("branch")
        made = "".join(f"def {name}(n=n):\n{self._inner(depth, again=False)}" for name in (first, second))
        kind = self._chance.choice(["join", "race"])
        given = self._chance.choice(
            [f"a={first}, b={second}", f'{{"a": {first}}}, b=lambda: {second}()', f"{{f'x-{{k}}': {first} for k in range(2)}}"]
        )
        return f"{made}{kind}({given})\n"

    def _attempt(self, depth: int) -> str:
        name = self._fresh("tried")
        return f"def {name}(n=n):\n{self._inner(depth, again=False)}attempt({self._chance.choice([name, f'lambda: {name}()'])})\n"

    def _helper(self, depth: int) -> str:
        name = self._fresh("helper")
        self.helpers.append(f"\n\ndef {name}(n):\n{self._inner(depth)}")
        return f"{name}(n)\n"

    def _inner(self, depth: int, again: bool | None = None) -> str:
        """A block in another; `again`: whether it comes more than once in its scope, by default as what is around it."""
        before = self._again
        self._again = before if again is None else again
        made = indent(self.block(depth - 1), "    ")
        self._again = before
        return made
