"""A schedule explorer: programs run on a channel in every order that an event loop might have chosen, and the contract is checked.

- `loop`: an event loop that asks a chooser which of its ready callbacks comes next.
- `programs`: what runs, as data.
- `stage`: performs a program on such a loop and writes down what happened.
- `invariants`: reads what was written down, rule by rule.
- `explore`: the choosers: every order there is, chance with a seed, or a list of numbers; and shrinks what it finds.
- `mutants`: the library broken on purpose; each break has to be found.
- `peers`: the same programs and rules on other libraries.

``python -m tests.explorer --help`` tells the rest.
"""
