using System.Runtime.CompilerServices;

namespace Samples.Tests;

/// <summary>The checkout that the tests were built from.</summary>
internal static class Repository
{
    public static string Folder { get; } = Path.GetFullPath(Path.Combine(Path.GetDirectoryName(ThisFile())!, "..", ".."));

    private static string ThisFile([CallerFilePath] string path = "") => path;
}
