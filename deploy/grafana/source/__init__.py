"""Source of the Grafana dashboards; `make dashboards` writes them.

Each dashboard is a module; `queries` has the PromQL that they share, `panels` and `frame` how they look.
"""
