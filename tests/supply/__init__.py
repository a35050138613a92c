"""The dependencies that are shipped: pins, bill of materials, licences and known vulnerabilities."""
