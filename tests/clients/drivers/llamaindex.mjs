// AzureDynamicSessionTool of @llamaindex/azure: the oldest execute route, a token from @azure/identity.
import { readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { AzureDynamicSessionTool } from "@llamaindex/azure";

const said = {};
const tool = new AzureDynamicSessionTool({
  poolManagementEndpoint: process.env.POOL_ENDPOINT,
  sessionId: process.env.SESSION,
});
said.print = await tool.call({ code: "print(6*7)" });
said.sum = (await tool.call({ code: "'a' * 3" })).result;
said.failed = await tool.call({ code: "1/0" });
said.uploaded = await tool.uploadFile({ data: new Blob(["from node"]), remoteFilename: "ü 1.txt" });
said.seen = (await tool.call({ code: "open('/mnt/data/ü 1.txt').read()" })).result;
await tool.call({ code: "open('/mnt/data/out.txt', 'w').write('from python')" });
said.listed = (await tool.listFiles()).map((file) => [file.filename, file.size]).sort();
said.downloaded = await new Response(await tool.downloadFile({ remoteFilename: "out.txt" })).text();
const plot = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()";
// The tool answers PATH/NAME where PATH already ends with NAME: its own slip, undone here.
const figure = dirname((await tool.call({ code: plot })).result);
said.figure = (await readFile(figure)).subarray(0, 8).toString("hex");
console.log(JSON.stringify(said));
