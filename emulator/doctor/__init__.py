"""What `dynamic-sessions doctor` looks at: this machine, and how well an emulator keeps sessions apart."""
