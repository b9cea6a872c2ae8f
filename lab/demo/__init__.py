"""virtwatch's main job on real parts, told in a terminal: from a policy to an alert to its end."""
