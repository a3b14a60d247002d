"""Mutation testing: the library is changed in one small place at a time, and some test has to fail.

``python -m tests.mutation`` changes every place in every way that it knows, and tests each mutant in a copy of the project. It
fails if a mutant survives that `survivors.toml` does not list with a reason. What it tries on a mutant is in `config.toml`.
It needs cosmic-ray, and a system that forks.

- `tool`: cosmic-ray, which makes most of the mutants, and the little of parso that is needed.
- `operators`: mutations of our own: statements that are left out, conditions that always or never hold.
- `mutants`: all mutants of a module, without those that mean what another or the source itself means.
- `trial`: tests one mutant in a process of its own.
- `survivors`: which mutants may survive, and why.

cosmic-ray and not mutmut: mutmut 3 leaves out functions with decorators, properties and finals among them, and calls every other
one through a trampoline, which generator-based coroutines and tests of references and frames do not take. cosmic-ray changes the
text of the module and nothing else.
"""
