using System.Runtime.InteropServices;
using Microsoft.ML.Data;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention;

/// <summary>Feeds encoded series to an input <c>[N, bins, columns]</c> of a model.</summary>
internal sealed class SeriesInput(string name, SeriesEncoder encoder, SeriesColumns columns)
    : TensorInput(name, TensorElementType.Float, [encoder.Preprocessing.BinCount, encoder.ColumnCount], columns.Indices)
{
    /// <summary>Finds the columns in a schema.</summary>
    /// <exception cref="InvalidOperationException">A column is missing, of another type, or of another number of variables.</exception>
    public static SeriesInput Bind(DataViewSchema schema, TemporalColumns names, SeriesEncoder encoder)
    {
        var columns = SeriesColumns.Bind(schema, names);
        if (columns.VariableCount is { } count && count != encoder.Variables.Count)
        {
            throw new InvalidOperationException($"Column '{names.Series}' has {count} variables; the model was trained on "
                + $"{encoder.Variables.Count}: {string.Join(", ", encoder.Variables.Select(variable => variable.Name))}.");
        }
        return new("x", encoder, columns);
    }

    public override TensorRowReader CreateReader(DataViewRow source, int capacity) => new Reader(encoder, columns, source, capacity);

    private sealed class Reader(SeriesEncoder encoder, SeriesColumns columns, DataViewRow source, int capacity) : TensorRowReader
    {
        private readonly SeriesReader _reader = new(source, columns, capacity);

        public override bool Converts => true;

        public override void Read(int slot, Span<byte> destination) => _reader.Read(slot);

        public override void Convert(int slot, Span<byte> destination) =>
            encoder.Encode(_reader.Times(slot), _reader.Values(slot), MemoryMarshal.Cast<byte, float>(destination));
    }
}

/// <summary>Reads series from the current row of a source into memory that is used again and again.</summary>
internal sealed class SeriesReader
{
    private readonly ValueGetter<VBuffer<float>> _series;
    private readonly ValueGetter<VBuffer<float>>? _times;
    private readonly VBuffer<float>[] _seriesOf;
    private readonly VBuffer<float>[] _timesOf;
    private VBuffer<float> _buffer;

    /// <param name="source">The row to read.</param>
    /// <param name="columns">The columns.</param>
    /// <param name="capacity">The series that are kept at a time.</param>
    public SeriesReader(DataViewRow source, SeriesColumns columns, int capacity)
    {
        _series = source.GetGetter<VBuffer<float>>(columns.Series);
        _times = columns.Times is { } times ? source.GetGetter<VBuffer<float>>(times) : null;
        (_seriesOf, _timesOf) = (new VBuffer<float>[capacity], new VBuffer<float>[capacity]);
    }

    /// <summary>Takes the current row.</summary>
    public void Read(int slot)
    {
        Take(_series, ref _seriesOf[slot]);
        if (_times is not null)
            Take(_times, ref _timesOf[slot]);
    }

    public ReadOnlySpan<float> Values(int slot) => _seriesOf[slot].GetValues();

    public ReadOnlySpan<float> Times(int slot) => _timesOf[slot].GetValues();

    // ML.NET gives vectors with many zeros as sparse ones.
    private void Take(ValueGetter<VBuffer<float>> getter, ref VBuffer<float> value)
    {
        getter(ref _buffer);
        _buffer.CopyToDense(ref value);
    }
}
