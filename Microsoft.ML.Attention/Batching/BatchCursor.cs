using System.Diagnostics;
using Microsoft.ML.Data;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Attention;

/// <summary>
/// A cursor that reads its source a batch ahead. Two batches take turns: while the model scores one and its rows are handed out,
/// the other one is filled in the background, unless filling is so quick that handing it to another thread would cost more.
/// </summary>
internal sealed class BatchCursor : RootCursorBase
{
    private static readonly TimeSpan QuickFill = TimeSpan.FromMilliseconds(0.25);

    private readonly IHost _host;
    private readonly BoundScorer _scorer;
    private readonly DataViewRowCursor _source;
    private readonly BatchReader _reader;
    private readonly ScoringBatch[] _batches;
    private readonly bool[] _active;
    private readonly BufferedColumn?[] _passing;
    private readonly Delegate?[] _outputGetters;
    private readonly ValueGetter<DataViewRowId> _sourceId;
    private readonly DataViewRowId[] _ids;
    private readonly long[] _sourceBatches;
    private readonly int _capacity;
    private readonly CancellationTokenSource _stopping;
    private readonly CancellationToken _cancellation;
    private Task? _filling;
    private TimeSpan _lastFill = TimeSpan.MaxValue;
    private bool _sourceEnded;
    private int _current = 1;
    private int _slot = -1;
    private bool _closed;

    /// <param name="host">Where messages go.</param>
    /// <param name="scorer">The model bound to the source's schema.</param>
    /// <param name="source">The source; the cursor owns it.</param>
    /// <param name="active">Which columns of the output schema are asked for.</param>
    /// <param name="cancellation">Ends the iteration with an <see cref="OperationCanceledException"/>.</param>
    public BatchCursor(IHost host, BoundScorer scorer, DataViewRowCursor source, bool[] active, CancellationToken cancellation)
        : base(host)
    {
        _host = host;
        _scorer = scorer;
        _source = source;
        _active = active;
        _cancellation = cancellation;
        _stopping = CancellationTokenSource.CreateLinkedTokenSource(cancellation);

        var isOutputActive = scorer.ActiveOutputs(active);
        _batches = [scorer.CreateBatch(isOutputActive), scorer.CreateBatch(isOutputActive)];
        _capacity = _batches[0].Capacity;
        _reader = new BatchReader(source, scorer.Inputs, _capacity);

        _ids = new DataViewRowId[2 * _capacity];
        _sourceBatches = new long[2 * _capacity];
        _sourceId = source.GetIdGetter();
        _passing = scorer.Bindings.GetActiveInput(c => active[c])
            .Select((passes, c) => passes ? BufferedColumn.Create(source, source.Schema[c], 2 * _capacity) : null).ToArray();
        _outputGetters = scorer.CreateGetters(new CurrentRow(this), isOutputActive);
    }

    public override DataViewSchema Schema => _scorer.OutputSchema;

    public override long Batch => IsGood ? _sourceBatches[Index()] : 0;

    public override bool IsColumnActive(DataViewSchema.Column column) => _active[column.Index];

    public override ValueGetter<DataViewRowId> GetIdGetter() => (ref DataViewRowId id) =>
    {
        Ch.Check(IsGood, RowCursorUtils.FetchValueStateError);
        id = _ids[Index()];
    };

    public override ValueGetter<TValue> GetGetter<TValue>(DataViewSchema.Column column)
    {
        Ch.CheckParam(column.Index < _active.Length && _active[column.Index], nameof(column), $"column '{column.Name}' was not asked for");
        int index = _scorer.Bindings.MapColumnIndex(out bool isSource, column.Index);
        var getter = isSource ? _passing[index]!.CreateGetter(Index) : _outputGetters[index];
        return getter as ValueGetter<TValue>
            ?? throw Ch.ExceptParam(nameof(TValue), $"column '{column.Name}' is of type {column.Type.RawType}, not {typeof(TValue)}");
    }

    protected override bool MoveNextCore()
    {
        if (_slot + 1 < _batches[_current].Count)
        {
            _slot++;
            return true;
        }
        try
        {
            return MoveToNextBatch();
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    protected override void Dispose(bool disposing)
    {
        if (_closed)
            return;
        _closed = true;
        if (disposing)
        {
            _stopping.Cancel();
            ((IAsyncResult?)_filling)?.AsyncWaitHandle.WaitOne();
            _reader.Dispose();
            _source.Dispose();
            foreach (var batch in _batches)
                batch.Dispose();
            _stopping.Dispose();
        }
        base.Dispose(disposing);
    }

    private int Index() => _current * _capacity + _slot;

    private bool MoveToNextBatch()
    {
        _host.CheckAlive();
        int next = 1 - _current;
        if (_filling is null)
            Fill(next);
        else
            _filling.GetAwaiter().GetResult();

        var batch = _batches[next];
        if (batch.Count == 0)
            return false;
        StartFilling(1 - next);
        _scorer.Report(batch, Ch);
        batch.Run(_cancellation);
        _current = next;
        _slot = 0;
        return true;
    }

    private void StartFilling(int which) => _filling = _sourceEnded || _lastFill < QuickFill ? null : Task.Run(() => Fill(which));

    private void Fill(int which)
    {
        long start = Stopwatch.GetTimestamp();
        var batch = _batches[which];
        batch.Clear();
        while (batch.Count < _capacity && !_sourceEnded)
        {
            _stopping.Token.ThrowIfCancellationRequested();
            if (!_source.MoveNext())
            {
                _sourceEnded = true;
                break;
            }
            int index = which * _capacity + _reader.Read(batch);
            _sourceId(ref _ids[index]);
            _sourceBatches[index] = _source.Batch;
            foreach (var column in _passing)
                column?.Fetch(index);
        }
        _reader.Convert(batch, _stopping.Token);
        _lastFill = Stopwatch.GetElapsedTime(start);
    }

    private sealed class CurrentRow(BatchCursor cursor) : ScoredRow
    {
        public override int OutputIndex(string name) => cursor._batches[0].OutputIndex(name);

        protected override ScoringBatch Locate(out int slot)
        {
            slot = cursor._slot;
            return cursor._batches[cursor._current];
        }
    }
}
