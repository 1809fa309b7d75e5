using System.Text.Json;
using Microsoft.ML.Attention.Onnx;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Weights;

namespace Samples.Tests.ModelTool;

public sealed class ModelToolTests : IDisposable
{
    private const string Architecture = "biformer_nano";

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Help_IsEnoughToUseTheProgram()
    {
        var result = ModelToolProcess.Run("--help");
        Assert.Equal(0, result.ExitCode);
        foreach (var word in new[] { "architectures", "convert", "describe", "check", "Exit codes:", "Examples:" })
            Assert.Contains(word, result.Output);
        Assert.Contains("--entry", ModelToolProcess.Run("convert", "--help").Output);
    }

    [Fact]
    public void Architectures_AreListedWithTheirPublishedFigures()
    {
        var result = ModelToolProcess.Run("architectures");
        Assert.Equal(0, result.ExitCode);
        Assert.All(ImageClassifiers.Variants.Keys, name => Assert.Contains($" {name} ", result.Output));
        Assert.Matches(@"biformer_tiny +13,142,760 +3 x 224 x 224 +2\.216 ", result.Output);
        Assert.Matches(@" resnet50 +25,557,032 +3 x 224 x 224 +4\.089 ", result.Output);
    }

    [Fact]
    public void Convert_MakesAModelThatIsCheckedAndDescribed()
    {
        var weights = WriteCheckpoint("weights.safetensors", classes: 3);
        File.WriteAllLines(_folder["labels.txt"], ["cat", "dog", "horse"]);
        var model = _folder["model.onnx"];

        var converted = ModelToolProcess.Run(
            "convert", weights, "--architecture", Architecture, "--size", "28x32", "--labels", _folder["labels.txt"], "-o", model);
        Assert.True(converted.ExitCode == 0, converted.Error);
        Assert.Contains($"{Architecture}, 3 classes, 28 x 32", converted.Output);
        Assert.Equal([model], Directory.GetFiles(_folder.Path, "model*"));
        var metadata = OnnxModel.Load(model).Metadata;
        Assert.Equal(Architecture, metadata["architecture"]);
        Assert.Equal("weights.safetensors", metadata["source"]);
        Assert.Equal(64, metadata["source.sha256"].Length);
        Assert.Equal("cat\ndog\nhorse", metadata["labels"]);

        var described = ModelToolProcess.Run("describe", model, "--json");
        Assert.True(described.ExitCode == 0, described.Error);
        using var json = JsonDocument.Parse(described.Output);
        Assert.Equal("[1, 3]", json.RootElement.GetProperty("outputs")[0].GetProperty("shape").GetString());
        Assert.Equal("BiLevelRoutingAttention", json.RootElement.GetProperty("attention")[0].GetString());
        Assert.True(json.RootElement.GetProperty("macs").GetInt64() > 1_000_000);

        var check = ModelToolProcess.Run("check", model);
        Assert.True(check.ExitCode == 0, check.Output + check.Error);
        Assert.Contains("kernels of BiLevelRoutingAttention", check.Output);
        Assert.Contains("x [1, 3, 28, 32]", check.Output);
        Assert.DoesNotContain("wrong", check.Output);

        var again = ModelToolProcess.Run("convert", weights, "-a", Architecture, "-o", model);
        Assert.Equal(4, again.ExitCode);
        Assert.Contains("--overwrite", again.Error);
        Assert.Equal(0, ModelToolProcess.Run("convert", weights, "-a", Architecture, "-o", model, "--overwrite").ExitCode);
    }

    [Fact]
    public void Convert_ListsEverythingThatDoesNotFit()
    {
        var tensors = Tensors(classes: 10).ToDictionary();
        tensors.Remove("norm.weight");
        tensors["head.weight"] = Tensor.Create<float>([1, 2], 2);
        tensors["extra"] = Tensor.Scalar(1f);
        SafetensorsFile.Write(_folder["other.safetensors"], tensors);

        var result = ModelToolProcess.Run("convert", _folder["other.safetensors"], "-a", Architecture, "-o", _folder["model.onnx"]);

        Assert.Equal(3, result.ExitCode);
        foreach (var part in new[] { "Wrong shapes (1): head.weight", "Missing (1): norm.weight", "Surplus (1): extra" })
            Assert.Contains(part, result.Error);
        Assert.False(File.Exists(_folder["model.onnx"]));
    }

    [Fact]
    public void Describe_ShowsCheckpoints()
    {
        var result = ModelToolProcess.Run("describe", WriteCheckpoint("weights.safetensors", classes: 3));
        Assert.Equal(0, result.ExitCode);
        Assert.Matches(@"head\.bias +Float +\[3\]", result.Output);
    }

    [Theory]
    [InlineData(2)]
    [InlineData(2, "convert", "weights.safetensors")]
    [InlineData(2, "convert", "weights.safetensors", "-a", "abacus", "-o", "x.onnx")]
    [InlineData(2, "describe", "biformer_tiny", "--size", "0x3")]
    [InlineData(2, "check", "model.onnx", "--provider", "abacus")]
    [InlineData(3, "describe", "neither-file-nor-architecture")]
    [InlineData(3, "describe", "damaged.onnx")]
    [InlineData(3, "check", "damaged.onnx")]
    [InlineData(3, "check", "missing.onnx")]
    [InlineData(3, "convert", "damaged.onnx", "-a", Architecture, "-o", "x.onnx")]
    [InlineData(3, "convert", "missing.pth", "-a", Architecture, "-o", "x.onnx")]
    public void Errors_HaveTheirExitCodeAndNoStackTrace(int exitCode, params string[] arguments)
    {
        File.WriteAllText(_folder["damaged.onnx"], "no model");

        var result = ModelToolProcess.Run(arguments.Select(argument => argument.Contains('.') ? _folder[argument] : argument));

        Assert.Equal(exitCode, result.ExitCode);
        Assert.NotEmpty(result.Error);
        Assert.DoesNotContain("   at ", result.Error);
    }

    [Fact]
    public void Check_FindsWhatIsWrongWithAModel()
    {
        var config = ImageClassifiers.Find(Architecture) with { ClassCount = 3 };
        var model = config.Build(new RandomWeights(1), 28, 28);
        model.Functions.RemoveAll(function => function.Name == "BiLevelRoutingAttention");
        model.Save(_folder["no-definition.onnx"]);
        Check("no-definition.onnx", "'ml.attention::BiLevelRoutingAttention' has no definition");

        model = config.Build(new RandomWeights(1), 28, 28);
        model.Graph.Initializers.Remove("head.bias");
        model.Save(_folder["no-bias.onnx"]);
        Check("no-bias.onnx", "takes 'head.bias', which nothing before it gives");

        model = config.Build(new RandomWeights(1), 28, 28);
        model.Graph.Initializers["head.bias"] = Tensor.Create<float>([1, 2], 2);
        model.Save(_folder["shape.onnx"]);
        Check("shape.onnx", "Add");

        model = config.Build(new RandomWeights(1), 28, 28);
        model.Graph.Initializers["head.bias"] = Tensor.Create<float>([1, float.NaN, 2], 3);
        model.Save(_folder["nan.onnx"]);
        Check("nan.onnx", "logits is not finite");

        void Check(string name, string problem)
        {
            var result = ModelToolProcess.Run("check", _folder[name]);
            Assert.Equal(1, result.ExitCode);
            Assert.Contains("wrong", result.Output);
            Assert.Contains(problem, result.Output);
        }
    }

    private string WriteCheckpoint(string name, int classes)
    {
        SafetensorsFile.Write(_folder[name], Tensors(classes));
        return _folder[name];
    }

    private static IEnumerable<KeyValuePair<string, Tensor>> Tensors(int classes) =>
        (ImageClassifiers.Find(Architecture) with { ClassCount = classes }).Build(new RandomWeights(1), 28, 28).Graph.Initializers
            .Where(pair => !pair.Key.Contains("const_"));
}
