"""Kairos inside Nuke: group nodes made from the parameter table, rendered by the runtime process."""
