using System.Diagnostics;

namespace Samples.Tests;

/// <summary>Takes the way of a user who has the packages and no checkout.</summary>
public sealed class PackagesTests : IDisposable
{
    private const string Program = """
        using Microsoft.ML;
        using Microsoft.ML.Attention.Onnx.Models;
        using Microsoft.ML.Attention.Onnx.Weights;
        using Microsoft.ML.Attention.Vision;
        using Microsoft.ML.Data;

        BiFormer.Build(BiFormer.Variants["biformer_nano"] with { ClassCount = 3 }, new RandomWeights(1)).Save("nano.onnx");
        var context = new MLContext();
        var data = context.Data.LoadFromEnumerable([new Row { Image = args[0] }, new Row { Image = args[0] }]);
        var model = context.Transforms.ScoreImages(new ImageScoringEstimator.Options
        {
            ModelFile = "nano.onnx",
            Preprocessing = ImagePreprocessing.Stretch(32, 32),
            Labels = ["ankle boot", "bag", "coat"],
        }).Fit(data);
        foreach (var score in model.Transform(data).GetColumn<float[]>("Score"))
            Console.WriteLine($"{score.Length} scores, sum {score.Sum():F3}");

        internal sealed class Row
        {
            public string Image { get; set; } = "";
        }
        """;

    private static readonly string Configuration =
        AppContext.BaseDirectory.Contains($"{Path.DirectorySeparatorChar}Release{Path.DirectorySeparatorChar}") ? "Release" : "Debug";

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void AppInAnEmptyFolder_RunsOnThePackages()
    {
        foreach (var project in new[] { "Onnx/Microsoft.ML.Attention.Onnx", "Microsoft.ML.Attention/Microsoft.ML.Attention",
            "Microsoft.ML.Attention.Vision/Microsoft.ML.Attention.Vision" })
        {
            Dotnet("pack", Path.Combine(Repository.Folder, $"{project}.csproj"), "-c", Configuration, "--no-build", "-o", _folder["feed"]);
        }
        Directory.CreateDirectory(_folder["app"]);
        File.WriteAllText(_folder["app/nuget.config"], NuGetConfig());
        Dotnet("new", "console");
        File.WriteAllText(_folder["app/Program.cs"], Program);
        Dotnet("add", "package", "Microsoft.ML.Attention.Vision");
        Dotnet("add", "package", "Microsoft.ML.OnnxRuntime", "--version", OnnxRuntimeVersion());
        var picture = BatchScoring.ColourPictures.Write(_folder["pictures"], 1)[0];
        var lines = Dotnet("run", "--", picture).ReplaceLineEndings("\n").Split('\n', StringSplitOptions.RemoveEmptyEntries);

        Assert.Equal(["3 scores, sum 1.000", "3 scores, sum 1.000"], lines);
    }

    /// <summary>
    /// Our packages from the feed, the others from the cache that the build has filled; nothing of ours gets into that cache.
    /// </summary>
    private string NuGetConfig()
    {
        var cache = Environment.GetEnvironmentVariable("NUGET_PACKAGES")
            ?? Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".nuget", "packages");
        return $"""
            <configuration>
              <config><add key="globalPackagesFolder" value="{_folder["packages"]}" /></config>
              <fallbackPackageFolders><add key="cache" value="{cache}" /></fallbackPackageFolders>
              <packageSources><add key="feed" value="{_folder["feed"]}" /></packageSources>
            </configuration>
            """;
    }

    private static string OnnxRuntimeVersion()
    {
        var versions = System.Xml.Linq.XDocument.Load(Path.Combine(Repository.Folder, "Directory.Packages.props"));
        return versions.Descendants("PackageVersion").Single(package => (string?)package.Attribute("Include") == "Microsoft.ML.OnnxRuntime")
            .Attribute("Version")!.Value;
    }

    private string Dotnet(params string[] arguments)
    {
        var start = new ProcessStartInfo("dotnet", arguments) { RedirectStandardOutput = true, RedirectStandardError = true };
        if (Directory.Exists(_folder["app"]))
            start.WorkingDirectory = _folder["app"];
        // Else the builds inside inherit what the test run tells MSBuild.
        foreach (var name in start.Environment.Keys.Where(name => name.StartsWith("MSBUILD", StringComparison.OrdinalIgnoreCase)).ToArray())
            start.Environment.Remove(name);
        using var process = Process.Start(start)!;
        var error = process.StandardError.ReadToEndAsync();
        var output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        Assert.True(process.ExitCode == 0, $"dotnet {string.Join(' ', arguments)}: {output}{error.Result}");
        return output;
    }
}
