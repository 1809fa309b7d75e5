using Microsoft.ML.Runtime;

namespace Microsoft.ML.Attention;

/// <summary>A row that is scored by itself when one of its outputs is asked for: the way of a <c>PredictionEngine</c>.</summary>
internal sealed class SingleRow : ScoredRow, IDisposable
{
    private readonly BoundScorer _scorer;
    private readonly DataViewRow _source;
    private readonly ScoringBatch _batch;
    private readonly BatchReader _reader;
    private readonly IChannel _channel;
    private long? _scoredPosition;

    public SingleRow(IHost host, BoundScorer scorer, DataViewRow source, Func<int, bool> activeOutput)
    {
        _scorer = scorer;
        _source = source;
        _batch = scorer.CreateBatch(activeOutput, rows: 1);
        _reader = new BatchReader(source, scorer.Inputs, capacity: 1);
        _channel = host.Start("Row");
    }

    public override int OutputIndex(string name) => _batch.OutputIndex(name);

    public void Dispose()
    {
        _channel.Dispose();
        _reader.Dispose();
        _batch.Dispose();
    }

    protected override ScoringBatch Locate(out int slot)
    {
        slot = 0;
        if (_scoredPosition != _source.Position)
            Score();
        return _batch;
    }

    private void Score()
    {
        _scoredPosition = null;
        _batch.Clear();
        _reader.Read(_batch);
        _reader.Convert(_batch, CancellationToken.None);
        _scorer.Report(_batch, _channel);
        _batch.Run(CancellationToken.None);
        _scoredPosition = _source.Position;
    }
}
