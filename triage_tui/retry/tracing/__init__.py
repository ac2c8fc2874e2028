"""The way of a run, a rule or a story: what was seen, concluded, decided and done, and what came of it.

`model` is its form, `finding` tells what a name means, `building` collects steps, `of_run`, `of_rule` and
`of_story` find them, `writing` renders them. It is put together from records alone, each time anew.
"""
