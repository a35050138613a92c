"""What the Grafana dashboards are made from; `make dashboards` writes them.

Each dashboard is a module, `queries` has the PromQL that they share, `panels` and `frame` how they look.
"""
