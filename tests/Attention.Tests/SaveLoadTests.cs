using System.Diagnostics;
using System.IO.Compression;
using Microsoft.ML.Attention.Onnx;
using Microsoft.ML.Data;

namespace Microsoft.ML.Attention.Tests;

public class SaveLoadTests
{
    private readonly MLContext _ml = new(seed: 1);

    [Fact]
    public void ALoadedModelScoresAsTheSavedOne()
    {
        var data = _ml.Data.LoadFromEnumerable(Row.Numbers(20));
        var options = Options(ExecutionProvider.Cpu);
        options.OutputColumns = new() { ["sum"] = "Total" };
        options.Scoring = options.Scoring with
        {
            BatchSize = 7, BadInput = BadInput.ScoreAsMissing, ErrorColumnName = "Error",
            Session = options.Scoring.Session with { Precision = ScoringPrecision.Half },
        };
        var model = SaveAndLoad(_ml, _ml.Transforms.ScoreOnnx(options).Fit(data), data.Schema);
        var scored = model.Transform(data);
        Assert.Equal(Enumerable.Range(0, 20).Select(i => 4f * i + 6), scored.GetColumn<float>("Total"));
        Assert.Null(scored.Schema.GetColumnOrNull("double"));
        var loaded = Assert.IsType<OnnxBatchScoringTransformer>(model);
        Assert.Equal(options.Scoring, loaded.Scoring);
    }

    [Fact]
    public void ThePredictionEngineAgreesWithTheBatch()
    {
        var rows = Row.Numbers(10);
        var data = _ml.Data.LoadFromEnumerable(rows);
        var pipeline = _ml.Transforms.CopyColumns("y", "x").Append(_ml.Transforms.ScoreOnnx(Options(ExecutionProvider.Cpu)))
            .Append(_ml.Transforms.Concatenate("All", "double", "sum"));
        var model = pipeline.Fit(data);
        using var engine = _ml.Model.CreatePredictionEngine<Row, Scored>(model);
        foreach (var row in rows)
            BatchingTests.AssertScored(row.Index, engine.Predict(row));
        Assert.Equal(5, model.GetOutputSchema(data.Schema)["All"].Type.GetVectorSize());
    }

    [Fact]
    public void ANewProcessLoadsTheModel()
    {
        var data = _ml.Data.LoadFromEnumerable(Row.Numbers(3));
        using var file = new TemporaryFile(".zip");
        _ml.Model.Save(_ml.Transforms.ScoreOnnx(Options(ExecutionProvider.Cpu)).Fit(data), data.Schema, file.Path);
        var start = new ProcessStartInfo(Path.Combine(AppContext.BaseDirectory, "SavedModelScorer"), [file.Path])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        using var process = Process.Start(start)!;
        string output = process.StandardOutput.ReadToEnd();
        Assert.True(process.WaitForExit(60_000) && process.ExitCode == 0, process.StandardError.ReadToEnd());
        Assert.Equal("10", output.Trim());
    }

    [Fact]
    public void TheZipHoldsAPlainOnnxFile()
    {
        var data = _ml.Data.LoadFromEnumerable(Row.Numbers(1));
        using var stream = new MemoryStream();
        _ml.Model.Save(_ml.Transforms.ScoreOnnx(Options(ExecutionProvider.Cpu)).Fit(data), data.Schema, stream);
        using var zip = new ZipArchive(stream);
        using var entry = zip.Entries.Single(e => e.Name == "model.onnx").Open();
        using var content = new MemoryStream();
        entry.CopyTo(content);
        Assert.Equal(["double", "sum"], OnnxModel.Load(content.ToArray()).Graph.Outputs);
    }

    [Fact]
    public void TheProviderSurvivesSaveAndLoad()
    {
        if (HasCuda)
            Assert.Skip("needs a machine without CUDA, to see the saved choice fail");
        var data = _ml.Data.LoadFromEnumerable(Row.Numbers(1));
        var onCpu = _ml.Transforms.ScoreOnnx(Options(ExecutionProvider.Cpu)).Fit(data);
        var onCuda = SaveAndLoad(_ml, onCpu.WithExecutionProvider(ExecutionProvider.Cuda), data.Schema);
        string message = Assert.Throws<InvalidOperationException>(() => onCuda.GetOutputSchema(data.Schema)).Message;
        Assert.Contains("Microsoft.ML.OnnxRuntime.Gpu", message);
        Assert.Contains("ExecutionProvider.Cpu", message);
    }

    [Fact]
    public void TheProviderCanBeOverriddenAtLoadAndAfter()
    {
        var data = _ml.Data.LoadFromEnumerable(Row.Numbers(4));
        var fitted = _ml.Transforms.ScoreOnnx(Options(ExecutionProvider.Cpu)).Fit(data)
            .WithExecutionProvider(ExecutionProvider.Cuda, deviceId: 3);
        var chain = new TransformerChain<ITransformer>(new TransformerChain<ITransformer>(fitted));
        using var file = new TemporaryFile(".zip");
        _ml.Model.Save(chain, data.Schema, file.Path);

        var loaded = _ml.Model.Load(file.Path, out _, ExecutionProvider.Cpu);
        Assert.Equal([6f, 10, 14, 18], loaded.Transform(data).GetColumn<float>("sum"));
        var inner = Innermost(loaded);
        Assert.Equal(ExecutionProvider.Cpu, inner.ExecutionProvider);
        Assert.Equal(3, inner.Scoring.Session.DeviceId);
        Assert.Equal(ExecutionProvider.Cuda, Innermost(_ml.Model.Load(file.Path, out _)).Scoring.Session.ExecutionProvider);
    }

    [Fact]
    public void AutoSaysWhatItTookAndWhy()
    {
        var messages = new List<string>();
        _ml.Log += (_, e) => messages.Add(e.Message);
        var data = _ml.Data.LoadFromEnumerable(Row.Numbers(1));
        using var transformer = _ml.Transforms.ScoreOnnx(Options(ExecutionProvider.Auto)).Fit(data);
        Assert.Equal(HasCuda ? ExecutionProvider.Cuda : ExecutionProvider.Cpu, transformer.ExecutionProvider);
        string expected = HasCuda ? "runs on CUDA device 0" : "runs on the CPU: the loaded ONNX Runtime";
        Assert.Contains(messages, m => m.Contains(expected));
    }

    [Fact]
    public void FallbackToCpuOfTheContextIsHeard()
    {
        if (HasCuda)
            Assert.Skip("needs a machine without CUDA");
        _ml.FallbackToCpu = true;
        var messages = new List<string>();
        _ml.Log += (_, e) => messages.Add(e.Message);
        var data = _ml.Data.LoadFromEnumerable(Row.Numbers(1));
        using var transformer = _ml.Transforms.ScoreOnnx(Options(ExecutionProvider.Cuda)).Fit(data);
        Assert.Equal(ExecutionProvider.Cpu, transformer.ExecutionProvider);
        Assert.Contains(messages, m => m.Contains("FallbackToCpu"));
    }

    internal static ITransformer SaveAndLoad(MLContext ml, ITransformer model, DataViewSchema schema)
    {
        using var stream = new MemoryStream();
        ml.Model.Save(model, schema, stream);
        stream.Position = 0;
        return new MLContext().Model.Load(stream, out _);
    }

    private static bool HasCuda => OnnxRuntime.OrtEnv.Instance().GetAvailableProviders().Contains("CUDAExecutionProvider");

    private static OnnxTransformerBase Innermost(ITransformer model) =>
        model is TransformerChain<ITransformer> chain ? Innermost(chain.LastTransformer) : (OnnxTransformerBase)model;

    private static OnnxBatchScoringEstimator.Options Options(ExecutionProvider provider) => new()
    {
        Model = TestModels.DoubleAndSum("N", 4),
        Scoring = new() { Session = new() { ExecutionProvider = provider } },
    };
}
