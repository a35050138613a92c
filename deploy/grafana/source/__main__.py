"""`make dashboards`: writes the dashboards as the JSON files that Grafana reads."""

from deploy.grafana.source.files import write

if __name__ == "__main__":
    write()
