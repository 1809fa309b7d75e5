namespace Microsoft.ML.Attention.Tests;

// Counts what the whole process allocates.
[CollectionDefinition(nameof(MemoryTests), DisableParallelization = true)]
[Collection(nameof(MemoryTests))]
public class MemoryTests
{
    private readonly MLContext _ml = new(seed: 1);

    [Fact]
    public void NothingIsAllocatedPerRow()
    {
        using var transformer = _ml.Transforms.ScoreOnnx(new OnnxBatchScoringEstimator.Options
        {
            Model = TestModels.DoubleAndSum("N", 4),
            Scoring = new() { BatchSize = 500, Session = new() { ExecutionProvider = ExecutionProvider.Cpu } },
        }).Fit(_ml.Data.LoadFromEnumerable(Row.Numbers(1)));
        var row = Row.Number(0);
        var data = _ml.Data.LoadFromEnumerable(Enumerable.Repeat(row, 200_000));
        var scored = transformer.Transform(data);
        using var cursor = scored.GetRowCursor([scored.Schema["double"], scored.Schema["sum"], scored.Schema["Index"]]);
        var doubled = cursor.GetGetter<Data.VBuffer<float>>(scored.Schema["double"]);
        var index = cursor.GetGetter<int>(scored.Schema["Index"]);
        Data.VBuffer<float> value = default;
        int number = 0;
        for (int i = 0; i < 10_000; i++)
            Read();

        long before = GC.GetTotalAllocatedBytes(precise: true);
        const int rows = 100_000;
        for (int i = 0; i < rows; i++)
            Read();
        long perRow = (GC.GetTotalAllocatedBytes(precise: true) - before) / rows;
        Assert.InRange(perRow, 0, 15);

        void Read()
        {
            Assert.True(cursor.MoveNext());
            doubled(ref value);
            index(ref number);
        }
    }
}
