using System.Text.RegularExpressions;

namespace Samples.Tests;

public sealed partial class ReadmeTests
{
    private static readonly string Readme = File.ReadAllText(Path.Combine(Repository.Folder, "README.md"));

    [Fact]
    public void Snippets_AreTheCompiledOnes()
    {
        var source = File.ReadAllText(Path.Combine(Repository.Folder, "tests", "Samples.Tests", "ReadmeSnippets.cs"));

        Assert.Equal(Region().Matches(source).Select(match => Unindented(match.Groups[1].Value)),
            CodeBlock().Matches(Readme).Select(match => match.Groups[1].Value));
    }

    [Fact]
    public void FilesItPointsTo_AreThere()
    {
        var paths = Link().Matches(Readme).Select(match => match.Groups[1].Value)
            .Where(target => !target.StartsWith("http", StringComparison.Ordinal));

        Assert.All(paths, path => Assert.True(File.Exists(Path.Combine(Repository.Folder, path)), path));
    }

    [Fact]
    public void ItsTestCommand_IsWhatContinuousIntegrationRuns()
    {
        const string command = "dotnet test -c Release";

        Assert.Contains($"```\n{command}\n```", Readme);
        Assert.Contains($"\n{command} ", File.ReadAllText(Path.Combine(Repository.Folder, ".ci", "run")));
    }

    private static string Unindented(string lines) => Regex.Replace(lines, "^        ", "", RegexOptions.Multiline);

    [GeneratedRegex(@"#region snippet\n(.*?) *#endregion", RegexOptions.Singleline)]
    private static partial Regex Region();

    [GeneratedRegex(@"```csharp\n(.*?)```", RegexOptions.Singleline)]
    private static partial Regex CodeBlock();

    [GeneratedRegex(@"\]\(([^)]+)\)")]
    private static partial Regex Link();
}
