"""Windows of the runtime. Needs PySide6; nothing else of Kairos imports it at start."""
