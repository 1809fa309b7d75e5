using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.Attention.Tests;

public class CudaTests
{
    private readonly MLContext _ml = new(seed: 1);

    [Theory]
    [InlineData(100, 16, ScoringPrecision.AsModel)]
    [InlineData(5, 16, ScoringPrecision.AsModel)]
    [InlineData(100, 16, ScoringPrecision.Half)]
    public void ScoresOnCudaEqualThoseOnTheCpu(int count, int batchSize, ScoringPrecision precision)
    {
        SkipWithoutCuda();
        var data = _ml.Data.LoadFromEnumerable(Row.Numbers(count));
        byte[][] models = [TestModels.DoubleAndSum("N", 4), TestModels.DoubleAndSum(8, 4), TestModels.DoubleAndSum("N", "D")];
        foreach (byte[] model in models)
        {
            using var transformer = Fit(data, model, batchSize, ExecutionProvider.Cuda, precision);
            Assert.Equal(ExecutionProvider.Cuda, transformer.ExecutionProvider);
            var scored = _ml.Data.CreateEnumerable<Scored>(transformer.Transform(data), reuseRowObject: false).ToList();
            Assert.Equal(count, scored.Count);
            for (int i = 0; i < count; i++)
                BatchingTests.AssertScored(i, scored[i]);
        }
    }

    [Fact]
    public void AutoTakesCuda()
    {
        SkipWithoutCuda();
        var data = _ml.Data.LoadFromEnumerable(Row.Numbers(1));
        using var transformer = Fit(data, TestModels.DoubleAndSum("N", 4), 4, ExecutionProvider.Auto);
        Assert.Equal(ExecutionProvider.Cuda, transformer.ExecutionProvider);
    }

    [Fact]
    public void ADeviceThatIsNotThereIsNamed()
    {
        SkipWithoutCuda();
        var data = _ml.Data.LoadFromEnumerable(Row.Numbers(1));
        var options = Options(TestModels.DoubleAndSum("N", 4), 4, new() { ExecutionProvider = ExecutionProvider.Cuda, DeviceId = 99 });
        string message = Assert.ThrowsAny<InvalidOperationException>(() => _ml.Transforms.ScoreOnnx(options).Fit(data)).Message;
        Assert.Contains("CUDA device 99", message);
    }

    private static void SkipWithoutCuda()
    {
        if (!OrtEnv.Instance().GetAvailableProviders().Contains("CUDAExecutionProvider"))
            Assert.Skip("no CUDA execution provider in the loaded ONNX Runtime");
    }

    private OnnxBatchScoringTransformer Fit(
        IDataView data, byte[] model, int batchSize, ExecutionProvider provider, ScoringPrecision precision = ScoringPrecision.AsModel) =>
        _ml.Transforms.ScoreOnnx(Options(model, batchSize, new() { ExecutionProvider = provider, Precision = precision })).Fit(data);

    private static OnnxBatchScoringEstimator.Options Options(byte[] model, int batchSize, OnnxSessionOptions session) =>
        new() { Model = model, Scoring = new() { BatchSize = batchSize, Session = session } };
}
