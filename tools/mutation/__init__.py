"""Mutation testing of packages by their own tests: `make mutation ARGS=polling/budget`.

mutmut (3.8) runs whole projects, chooses the tests itself, and skips decorated functions, which are half of the
policies here. So only its mutation operators are used, with our own driver: each mutant is loaded from memory in a
forked process, which runs only the tests of its package that reach its lines, the quickest first.
"""
