// node run.mjs PYODIDE WHEEL FILE...: loads Pyodide from its directory, installs the wheel, and runs main() of each Python file.
import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { pathToFileURL } from "node:url";

const [directory, wheel, ...files] = process.argv.slice(2);
const { loadPyodide } = await import(pathToFileURL(join(directory, "pyodide.mjs")));
const pyodide = await loadPyodide({ indexURL: directory });
pyodide.unpackArchive(new Uint8Array(readFileSync(wheel)), "wheel");
for (const file of files) {
  pyodide.FS.writeFile(basename(file), readFileSync(file));
}
pyodide.runPython("import sys, warnings; sys.path.insert(0, ''); warnings.simplefilter('error')");
console.log(pyodide.runPython("f'Pyodide {__import__(\"pyodide\").__version__}, Python {sys.version.split()[0]}'"), `on node ${process.version}`);
for (const file of files) {
  // An event loop is running already, so a program's asyncio.run(main()) becomes await main().
  await pyodide.runPythonAsync(`import ${basename(file, ".py")} as program; await program.main()`).catch((error) => {
    console.error(error.message); // node would print the whole source line of Pyodide too
    process.exit(1);
  });
}
