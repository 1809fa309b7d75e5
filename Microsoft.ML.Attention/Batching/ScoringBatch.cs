using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention;

/// <summary>The tensors of one batch, allocated once and used for batch after batch.</summary>
internal sealed unsafe class ScoringBatch : IDisposable
{
    private readonly OnnxSession _session;
    private readonly Tensor[] _inputs;
    private readonly Tensor[] _outputs;
    private readonly string[] _inputNames;
    private readonly string[] _outputNames;
    private readonly bool _fixedRows;
    private readonly bool _outputsAllocated;
    private readonly RunOptions _runOptions = new();
    private readonly OrtValue[] _wholeInputs;
    private readonly OrtValue[] _wholeOutputs = [];
    private readonly Exception?[] _failures;
    private IDisposableReadOnlyCollection<OrtValue>? _results;

    /// <param name="session">The model.</param>
    /// <param name="inputs">How the model's inputs are filled; one for each input.</param>
    /// <param name="outputNames">The outputs that are wanted; with none of them <see cref="Run(CancellationToken)"/> does nothing.</param>
    /// <param name="rows">The rows of a run, where the model does not fix them.</param>
    public ScoringBatch(OnnxSession session, IReadOnlyList<TensorInput> inputs, string[] outputNames, int rows)
    {
        _session = session;
        int? fixedRows = session.FixedRows;
        _fixedRows = fixedRows is not null;
        Capacity = fixedRows ?? rows;
        _failures = new Exception?[Capacity];
        _inputNames = inputs.Select(i => i.Name).ToArray();
        _inputs = inputs.Select(i => new Tensor(i.ElementType, i.RowShape)).ToArray();
        _outputNames = outputNames;
        _outputs = outputNames.Select(n => new Tensor(session.Outputs[n].ElementType, session.Outputs[n].RowShape.ToArray())).ToArray();
        _outputsAllocated = _outputs.All(o => o.RowShape.All(d => d >= 0));
        _wholeInputs = Array.ConvertAll(_inputs, t => t.AllocateInput(session, Capacity));
        if (_outputsAllocated)
            _wholeOutputs = Array.ConvertAll(_outputs, t => t.AllocateOutput(Capacity));
    }

    /// <summary>The most rows the batch holds.</summary>
    public int Capacity { get; }

    /// <summary>The rows it holds now.</summary>
    public int Count { get; private set; }

    /// <summary>The source's position of the row in slot 0.</summary>
    public long FirstRow { get; private set; }

    /// <summary>Starts over with no rows.</summary>
    public void Clear()
    {
        Array.Clear(_failures, 0, Count);
        Count = 0;
        foreach (var input in _inputs)
            input.Restore();
    }

    /// <summary>Adds the row at this position of the source and returns its slot.</summary>
    public int Add(long position)
    {
        if (Count == 0)
            FirstRow = position;
        return Count++;
    }

    /// <summary>The bytes of a row of an input.</summary>
    public Span<byte> Input(int input, int slot) => _inputs[input].Row(slot);

    /// <summary>The elements of a row of an output.</summary>
    public ReadOnlySpan<T> Output<T>(int output, int slot)
        where T : unmanaged => MemoryMarshal.Cast<byte, T>(_outputs[output].Row(slot));

    /// <summary>The index of an output among those asked for.</summary>
    public int OutputIndex(string name) => Array.IndexOf(_outputNames, name);

    /// <summary>Why a row's input could not be read, or null.</summary>
    public Exception? Failure(int slot) => _failures[slot];

    /// <summary>Marks a row as unreadable; its inputs become zeros so that the others are not disturbed.</summary>
    public void Fail(int slot, Exception reason)
    {
        _failures[slot] = reason;
        foreach (var input in _inputs)
            input.Row(slot).Clear();
    }

    /// <summary>Cuts the rows of an input down to a shape for the coming run.</summary>
    public void Shrink(int input, long[] rowShape) => _inputs[input].Shrink(Count, rowShape);

    /// <summary>Scores the rows in one run.</summary>
    public void Run(CancellationToken cancellation)
    {
        if (_outputs.Length == 0 || Count == 0)
            return;
        int rows = _fixedRows ? Capacity : Count;
        for (int slot = Count; slot < rows; slot++)
        {
            foreach (var input in _inputs)
                input.Row(slot).Clear();
        }
        if (rows == Capacity && !Array.Exists(_inputs, input => input.IsShrunk))
        {
            Run(_wholeInputs, _wholeOutputs, rows, cancellation);
            return;
        }
        var inputs = Array.ConvertAll(_inputs, t => t.View(rows));
        var outputs = _outputsAllocated ? Array.ConvertAll(_outputs, t => t.View(rows)) : [];
        try
        {
            Run(inputs, outputs, rows, cancellation);
        }
        finally
        {
            foreach (var view in inputs.Concat(outputs))
                view.Dispose();
        }
    }

    public void Dispose()
    {
        _results?.Dispose();
        foreach (var value in _wholeInputs.Concat(_wholeOutputs))
            value.Dispose();
        _runOptions.Dispose();
    }

    private void Run(OrtValue[] inputs, OrtValue[] outputs, int rows, CancellationToken cancellation)
    {
        if (_outputsAllocated)
        {
            _session.Run(_runOptions, _inputNames, inputs, _outputNames, outputs, cancellation);
            return;
        }
        _results?.Dispose();
        _results = null;
        _results = _session.Run(_runOptions, _inputNames, inputs, _outputNames, cancellation);
        for (int i = 0; i < _outputs.Length; i++)
            _outputs[i].Show(_outputNames[i], _results[i], rows);
    }

    /// <summary>Where the rows of an input or output lie.</summary>
    private sealed class Tensor(TensorElementType elementType, long[] rowShape)
    {
        private byte* _data;
        private int _rowBytes;
        private long[]? _shrunkShape;

        public long[] RowShape => rowShape;

        /// <summary>Whether the coming run takes less than the whole rows.</summary>
        public bool IsShrunk => _shrunkShape is not null;

        /// <summary>Moves the first elements of every axis together.</summary>
        public void Shrink(int rows, long[] shape)
        {
            long elementBytes = _rowBytes / Count(rowShape);
            byte* target = _data;
            for (int row = 0; row < rows; row++)
                Move(_data + (nint)row * _rowBytes, 0, shape, elementBytes, ref target);
            _shrunkShape = shape;
        }

        /// <summary>Takes whole rows again.</summary>
        public void Restore() => _shrunkShape = null;

        // Each piece moves to the front, over what has been moved already.
        private void Move(byte* source, int axis, long[] shape, long elementBytes, ref byte* target)
        {
            long stride = elementBytes * Count(rowShape.AsSpan(axis + 1));
            if (shape.AsSpan(axis + 1).SequenceEqual(rowShape.AsSpan(axis + 1)))
            {
                Buffer.MemoryCopy(source, target, stride * shape[axis], stride * shape[axis]);
                target += stride * shape[axis];
                return;
            }
            for (long i = 0; i < shape[axis]; i++)
                Move(source + i * stride, axis + 1, shape, elementBytes, ref target);
        }

        private static long Count(ReadOnlySpan<long> shape)
        {
            long count = 1;
            foreach (long side in shape)
                count *= side;
            return count;
        }

        /// <summary>Allocates room for this many rows; the caller disposes of it.</summary>
        public OrtValue AllocateInput(OnnxSession session, int rows) => Point(session.AllocateInput(elementType, [rows, .. rowShape]), rows);

        /// <inheritdoc cref="AllocateInput"/>
        public OrtValue AllocateOutput(int rows) => Point(OnnxSession.AllocateOutput(elementType, [rows, .. rowShape]), rows);

        /// <summary>Points at a result of this many rows, which somebody else owns.</summary>
        public void Show(string name, OrtValue result, int rows)
        {
            long[] shape = result.GetTensorTypeAndShape().Shape;
            if (shape.Length == 0 || shape[0] != rows)
                throw new InvalidOperationException($"Output '{name}' came back with shape [{string.Join(", ", shape)}] for {rows} rows: "
                    + "its first dimension is to count the rows.");
            Point(result, rows);
        }

        public Span<byte> Row(int slot) => new(_data + (nint)slot * _rowBytes, _rowBytes);

        /// <summary>The first rows of what is allocated, as a tensor for the caller to dispose of.</summary>
        public OrtValue View(int rows)
        {
            var shape = _shrunkShape ?? rowShape;
            long bytes = rows * (_rowBytes / Count(rowShape)) * Count(shape);
            return OrtValue.CreateTensorValueWithData(
                OrtMemoryInfo.DefaultInstance, elementType, [rows, .. shape], (nint)_data, bytes);
        }

        private OrtValue Point(OrtValue value, int rows)
        {
            var bytes = value.GetTensorMutableRawData();
            _data = (byte*)Unsafe.AsPointer(ref MemoryMarshal.GetReference(bytes));
            _rowBytes = bytes.Length / rows;
            return value;
        }
    }
}
