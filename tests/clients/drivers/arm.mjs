// A pool's whole life through @azure/arm-appcontainers, and code run in it; tokens by managed identity.
import { ContainerAppsAPIClient } from "@azure/arm-appcontainers";
import { DefaultAzureCredential } from "@azure/identity";

const credential = new DefaultAzureCredential();
const client = new ContainerAppsAPIClient(credential, process.env.SUBSCRIPTION, {
  endpoint: process.env.HTTPS_ENDPOINT,
});
const pools = client.containerAppsSessionPools;
const [group, name] = ["local", process.env.POOL_NAME];
const said = {};

const names = async (list) => {
  const found = [];
  for await (const pool of list) found.push(pool.name);
  return found;
};
const made = await pools.createOrUpdate(group, name, {
  location: "eastus",
  tags: { made: "by the SDK" },
  containerType: "PythonLTS",
  poolManagementType: "Dynamic",
  scaleConfiguration: { maxConcurrentSessions: 7 },
  dynamicPoolConfiguration: {
    lifecycleConfiguration: { lifecycleType: "Timed", cooldownPeriodInSeconds: 300 },
  },
  sessionNetworkConfiguration: { status: "EgressDisabled" },
});
said.made = [made.name, made.type, made.location, made.tags, made.provisioningState];
const found = await pools.get(group, name);
said.found = [
  found.id,
  found.containerType,
  found.scaleConfiguration.maxConcurrentSessions,
  found.dynamicPoolConfiguration.lifecycleConfiguration.cooldownPeriodInSeconds,
];
said.lists = [
  (await names(pools.listByResourceGroup(group))).includes(name),
  (await names(pools.listBySubscription())).includes(name),
];
const changed = await pools.update(group, name, { scaleConfiguration: { maxConcurrentSessions: 9 } });
said.changed = [
  changed.scaleConfiguration.maxConcurrentSessions,
  changed.dynamicPoolConfiguration.lifecycleConfiguration.cooldownPeriodInSeconds,
];
const { token } = await credential.getToken("https://dynamicsessions.io/.default");
const query = `api-version=2025-10-02-preview&identifier=${process.env.SESSION}`;
const run = await fetch(`${found.poolManagementEndpoint}/executions?${query}`, {
  method: "POST",
  headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
  body: JSON.stringify({ code: "print('in the new pool'); 6 * 7" }),
});
const { result } = await run.json();
said.run = [run.status, result.stdout, result.executionResult];
await pools.delete(group, name);
try {
  await pools.get(group, name);
} catch (error) {
  said.gone = [error.statusCode, error.code];
}
console.log(JSON.stringify(said));
