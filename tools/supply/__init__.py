"""What is shipped besides our own code: pinned packages, their bill of materials, licences and known flaws."""
