"""Ground floor: the session-pool resource, its ARM document and that document's versions. No I/O but `files`.

model       SessionPool, ContainerType, Lifecycle, LifecycleType, Network, ContainerTemplate, Probe,
            EmulatorOptions, Rule, DEFAULT_SUBSCRIPTION, DEFAULT_RESOURCE_GROUP, DEFAULT_LOCATION
problems    PoolDocumentError (a ConfigurationError with ARM `code` and `target`)
document    parse_pool, canonical_document
faults      read_rule, rule_of, impossible, EFFECTS
files       load_pools, load_all, PoolEntry
defaults    default_pools, one_off_pool
rendering   render_pool, system_data, parse_api_version
patch       merge_patch
units       parse_bytes, format_bytes
regions     display_name
"""
