// usage: publicize OUT_DIR ASSEMBLY...
// Writes copies of the assemblies in which every type and member can be named from outside. They are compiled against and never
// shipped: at run time IgnoresAccessChecksTo opens the real assemblies.
using Mono.Cecil;

if (args.Length < 2)
{
    Console.Error.WriteLine("usage: publicize OUT_DIR ASSEMBLY...");
    return 2;
}
Directory.CreateDirectory(args[0]);
using var resolver = new DefaultAssemblyResolver();
foreach (var path in args[1..])
    resolver.AddSearchDirectory(Path.GetDirectoryName(Path.GetFullPath(path)));
foreach (var path in args[1..])
{
    using var assembly = AssemblyDefinition.ReadAssembly(path, new ReaderParameters { AssemblyResolver = resolver });
    foreach (var type in assembly.MainModule.GetTypes())
    {
        if (type.IsNested)
            type.IsNestedPublic = true;
        else
            type.IsPublic = true;
        foreach (var field in type.Fields.Where(field => type.Events.All(e => e.Name != field.Name)))
            field.IsPublic = true;
        foreach (var method in type.Methods)
            Open(method);
    }
    assembly.Write(Path.Combine(args[0], Path.GetFileName(path)));
}
return 0;

// Virtual methods keep "protected" in their accessibility, so that overrides compile with the accessibility of the original.
static void Open(MethodDefinition method)
{
    if (!method.IsVirtual)
        method.IsPublic = true;
    else if (method.IsFamilyAndAssembly || (method.IsAssembly && !method.IsFinal))
        method.IsFamilyOrAssembly = true;
    else if (method.IsAssembly)
        method.IsPublic = true;
}
