//! rules.yml: parsing it with positions, and routing a sample by it. Pure: no I/O.
