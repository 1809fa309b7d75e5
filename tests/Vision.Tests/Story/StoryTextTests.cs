using Microsoft.ML.Attention.Vision;

namespace Vision.Tests;

public sealed class StoryTextTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("tokenizer").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData("cafe\u0301", "caf\u00E9")]
    [InlineData("a\u0323\u0307", "\u1EA1\u0307")]
    [InlineData("a\u0307\u0323", "\u1EA1\u0307")] // the marks change places
    [InlineData("\u1100\u1161\u11A8", "\uAC01")] // Hangul by rule
    [InlineData("\u0958", "\u0915\u093C")] // excluded from composition
    [InlineData("\u212B", "\u00C5")] // another name of a letter
    [InlineData("a\u0327\u034F\u0301", "a\u0327\u034F\u0301")] // a joiner in between blocks
    [InlineData("plain", "plain")]
    public void ComposesAsUnicodeSays(string text, string composed) => Assert.Equal(composed, CanonicalComposition.Compose(text));

    [Theory]
    [InlineData("\u03A3\u0391\u03A3 \u0391\u03A3. \u03A3", "\u03C3\u03B1\u03C2 \u03B1\u03C2. \u03C3")]
    [InlineData("\u0391\u03A3'\u0391", "\u03B1\u03C3'\u03B1")]
    [InlineData("\u0130I", "i\u0307i")]
    public void LowersByTheFullRules(string text, string lower) => Assert.Equal(lower, ClipText.ToLower(text));

    [Fact]
    public void ReadsTheFilesOfATokenizer()
    {
        var tokenizer = ClipTokenizer.FromMerges([("h", "e"), ("he", "y</w>")]);
        Write("vocab.json", "{" + string.Join(",", tokenizer.Vocabulary.Select(entry =>
            $"{System.Text.Json.JsonSerializer.Serialize(entry.Key)}:{entry.Value}")) + "}");
        Write("merges.txt", "#version\nh e\nhe y</w>\n");
        Write("special_tokens_map.json", """{"pad_token": {"content": "!"}}""");
        var read = ClipTokenizer.Load(_folder);
        var tokens = new int[6];
        read.Encode("Hey he", tokens);
        Assert.Equal(tokenizer.Tokenize("hey he"), read.Tokenize("hey he"));
        Assert.Equal([read.Start, 513, tokenizer.Vocabulary["h"], tokenizer.Vocabulary["e</w>"], read.End, 0], tokens);
        read.Encode("hey hey hey hey hey hey hey", tokens);
        Assert.Equal([read.Start, 513, 513, 513, 513, read.End], tokens);
    }

    [Fact]
    public void SaysWhatIsWrongWithTheFiles()
    {
        Write("vocab.json", """{"a": 0}""");
        Write("merges.txt", "#version\n");
        Assert.Contains("'<|startoftext|>' is not in the vocabulary", Assert.Throws<InvalidDataException>(() => ClipTokenizer.Load(_folder)).Message);
        Write("vocab.json", "[");
        Assert.Contains("is not a vocabulary", Assert.Throws<InvalidDataException>(() => ClipTokenizer.Load(_folder)).Message);
    }

    [Fact]
    public void DrawsAsPythonAndPyTorch()
    {
        Assert.Equal(0.6394267984578837, new PythonRandom(42).NextDouble());
        Assert.Equal(new PythonRandom(42).NextDouble(), new PythonRandom(-42).NextDouble());
        var normal = new float[16];
        new TorchRandom(0).FillNormal(normal);
        Assert.Equal([-1.1258f, -1.1524f, -0.2506f, -0.4339f], normal[..4].Select(value => MathF.Round(value, 4)));
        Assert.Throws<ArgumentException>(() => new TorchRandom(0).FillNormal(new float[15]));
    }

    private void Write(string name, string content) => File.WriteAllText(Path.Combine(_folder, name), content);
}
