namespace Samples.Tests.BatchScoring;

public sealed class ExitCodeTests(SavedPipeline pipeline) : IClassFixture<SavedPipeline>, IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Help_IsEnoughToUseTheProgram()
    {
        var result = BatchScoringProcess.Run(["--help"]);

        Assert.Equal(0, result.ExitCode);
        foreach (var word in new[] { "MODEL", "--resume", "--shard", "130", "Examples:", "--fail-on-bad" })
            Assert.Contains(word, result.Output);
    }

    [Theory]
    [InlineData("--no-such-option")]
    [InlineData("--resume", "--overwrite")]
    [InlineData("--rows-per-part", "0")]
    [InlineData("--batch-size", "many")]
    [InlineData("--shard", "2/2")]
    [InlineData("--provider", "abacus")]
    [InlineData("--labels", "nowhere.txt")]
    [InlineData("--image-size", "0x3")]
    [InlineData("--std", "1,2")]
    [InlineData("--columns", "Nothing")]
    public void WrongOptions_Give2(params string[] options)
    {
        ColourPictures.Write(_folder["pictures"], 1);

        var result = BatchScoringProcess.Run([pipeline.ZipFile, _folder["pictures"], _folder["scores"], .. options]);

        Assert.Equal(2, result.ExitCode);
        Assert.NotEmpty(result.Error);
        Assert.DoesNotContain("   at ", result.Error);
    }

    [Fact]
    public void EmptyFolder_Gives2()
    {
        Directory.CreateDirectory(_folder["pictures"]);

        Assert.Equal(2, BatchScoringProcess.Run([pipeline.ZipFile, _folder["pictures"], _folder["scores"]]).ExitCode);
    }

    [Theory]
    [InlineData("missing.zip", null)]
    [InlineData("damaged.zip", "no zip file")]
    [InlineData("damaged.onnx", "no model")]
    public void ModelThatCannotBeLoaded_Gives3(string name, string? content)
    {
        ColourPictures.Write(_folder["pictures"], 1);
        if (content is not null)
            File.WriteAllText(_folder[name], content);

        var result = BatchScoringProcess.Run([_folder[name], _folder["pictures"], _folder["scores"]]);

        Assert.True(result.ExitCode == 3, result.Error);
        Assert.Contains(name, result.Error);
        Assert.False(Directory.Exists(_folder["scores"]));
    }

    [Fact]
    public void OccupiedOutput_Gives4()
    {
        ColourPictures.Write(_folder["pictures"], 1);
        File.WriteAllText(_folder["file"], "");

        var result = BatchScoringProcess.Run([pipeline.ZipFile, _folder["pictures"], _folder["file"]]);

        Assert.Equal(4, result.ExitCode);
    }
}
