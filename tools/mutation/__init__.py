"""Mutation testing of rooms by their own tests: `make mutation ARGS=polling/budget`.

mutmut (3.8) runs whole projects, decides by itself which tests to run, and leaves out decorated functions, which here
are half of the policies. So only its mutation operators are used, with a driver of our own: each mutant is loaded from
memory in a forked process, and meets only the tests of its room that reach its lines, the quickest first.
"""
