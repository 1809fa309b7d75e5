using BatchScoring;
using BatchScoring.Input;

namespace Samples.Tests.BatchScoring;

public sealed class InputListTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Folder_IsListedRecursivelyInOrdinalOrder()
    {
        Directory.CreateDirectory(_folder["b/deep"]);
        foreach (var name in new[] { "z.png", "b/deep/a.JPG", "b/x.png", "B.png", "notes.txt" })
            File.WriteAllText(_folder[name], "");

        Assert.Equal([_folder["B.png"], _folder["b/deep/a.JPG"], _folder["b/x.png"], _folder["z.png"]], Read(_folder.Path).Paths);
    }

    [Fact]
    public void LinkToParent_DoesNotLoop()
    {
        File.WriteAllText(_folder["a.png"], "");
        Directory.CreateSymbolicLink(_folder["again"], _folder.Path);

        Assert.Equal([_folder["a.png"]], Read(_folder.Path).Paths);
    }

    [Fact]
    public void ListFile_KeepsOrderAndDoubles()
    {
        File.WriteAllText(_folder["list"], "b.png\n\r\na b.png\r\nb.png");

        Assert.Equal(["b.png", "a b.png", "b.png"], Read(_folder["list"]).Paths);
    }

    [Fact]
    public void StandardInput_IsReadAsAList() =>
        Assert.Equal(["b.png", "a.png"], InputList.Read("-", [], new StringReader("b.png\na.png\n")).Paths);

    [Fact]
    public void Digest_TellsListsApart()
    {
        var lists = new[] { "a\nb", "b\na", "ab", "a", "a\nb\nb" };

        Assert.Equal(lists.Length, lists.Select(list => InputList.Read("-", [], new StringReader(list)).Digest).Distinct().Count());
    }

    [Fact]
    public void MissingInput_IsAUsageError() =>
        Assert.Equal(ExitCode.Usage, Assert.Throws<JobException>(() => Read(_folder["nothing"])).ExitCode);

    private static InputList Read(string source) => InputList.Read(source, ["png", "jpg"], TextReader.Null);
}
