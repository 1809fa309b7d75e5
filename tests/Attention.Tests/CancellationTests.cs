using System.Diagnostics;
using Microsoft.ML.Data;

namespace Microsoft.ML.Attention.Tests;

public class CancellationTests
{
    private readonly MLContext _ml = new(seed: 1);

    [Fact]
    public void ARunIsInterruptedInTheMiddle()
    {
        // Some 13 GFLOP a layer and 2,000 layers: far longer than the test may take.
        const int width = 1024;
        var data = _ml.Data.LoadFromEnumerable(Enumerable.Repeat(new Wide { X = new float[width] }, 6400));
        using var transformer = Fit(data, TestModels.Slow(width, layers: 2000), batchSize: 6400);
        using var source = new CancellationTokenSource();
        var scored = transformer.Transform(data, source.Token);
        using var cursor = scored.GetRowCursor([scored.Schema["y"]]);
        var clock = Stopwatch.StartNew();
        source.CancelAfter(TimeSpan.FromSeconds(2));
        Assert.ThrowsAny<OperationCanceledException>(() => cursor.MoveNext());
        Assert.Equal(1, transformer.RunCount);
        Assert.InRange(clock.Elapsed.TotalSeconds, 1, 60);
        Assert.False(cursor.MoveNext());
    }

    [Fact]
    public void IterationEndsBetweenBatches()
    {
        var data = _ml.Data.LoadFromEnumerable(Row.Numbers(100));
        using var transformer = Fit(data, TestModels.DoubleAndSum("N", 4), batchSize: 10);
        using var source = new CancellationTokenSource();
        var scored = transformer.Transform(data, source.Token);
        using var cursor = scored.GetRowCursor([scored.Schema["sum"]]);
        Assert.True(cursor.MoveNext());
        source.Cancel();
        Assert.ThrowsAny<OperationCanceledException>(() =>
        {
            while (cursor.MoveNext())
                continue;
        });
    }

    [Fact]
    public void TheContextsOwnCancellationIsHeard()
    {
        var data = _ml.Data.LoadFromEnumerable(Row.Numbers(100));
        using var transformer = Fit(data, TestModels.DoubleAndSum("N", 4), batchSize: 10);
        var scored = transformer.Transform(data);
        using var cursor = scored.GetRowCursor([scored.Schema["sum"]]);
        Assert.True(cursor.MoveNext());
        _ml.CancelExecution();
        Assert.ThrowsAny<OperationCanceledException>(() =>
        {
            while (cursor.MoveNext())
                continue;
        });
    }

    private OnnxBatchScoringTransformer Fit(IDataView data, byte[] model, int batchSize) =>
        _ml.Transforms.ScoreOnnx(new OnnxBatchScoringEstimator.Options
        {
            Model = model,
            Scoring = new() { BatchSize = batchSize, Session = new() { ExecutionProvider = ExecutionProvider.Cpu } },
        }).Fit(data);

    private sealed class Wide
    {
        [VectorType(1024)]
        [ColumnName("x")]
        public float[] X { get; set; } = [];
    }
}
