namespace Microsoft.ML.Attention.Onnx.Tests;

/// <summary>The folder <c>shared</c> beside the repository, with the reference cases. Tests that need it are skipped where it is not.</summary>
internal static class SharedFolder
{
    public static string Find(string relativePath)
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            var path = Path.Combine(folder.FullName, "shared", relativePath);
            if (Path.Exists(path))
                return path;
        }
        Assert.Skip($"There is no shared/{relativePath} above {AppContext.BaseDirectory}.");
        return "";
    }
}
