"""The control plane: Azure Resource Manager as far as session pools and their tutorials touch it.

surface       ArmSurface: which paths, who may, which handler
control       ControlPlane: registry, identity, state and operations in one; `merge` and `restore` at start
call          Call: one request, its address, version, caller and body
errors        ArmError and Azure's own wordings
state         State: what outlives the emulator, in one file
operations    Operations: what a client polls
pools         Microsoft.App/sessionPools
groups        resource groups, and generic lists of resources
environments  Microsoft.App/managedEnvironments
access        Microsoft.Authorization/roleAssignments and roleDefinitions
catalog       subscriptions, tenants, providers, locations
graph         the few lines of Microsoft Graph that `az` asks for on the way
"""
