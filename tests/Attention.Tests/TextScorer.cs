using System.Runtime.InteropServices;
using Microsoft.ML.Data;
using Microsoft.ML.OnnxRuntime.Tensors;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Attention.Tests;

/// <summary>A row for <see cref="TextScorer"/>.</summary>
internal sealed class TextRow
{
    public string Text { get; set; } = "";
}

/// <summary>
/// A transformer with a conversion of its own, as pictures have one: parses a text column into four equal numbers, either at once or in
/// the parallel step.
/// </summary>
internal sealed class TextScorer(IHostEnvironment environment, ScoringOptions scoring, bool converts)
    : OnnxTransformerBase(environment.Register("TextScorer"), new(TestModels.DoubleAndSum("N", 4)), scoring)
{
    internal override OnnxTransformerBase WithScoring(ScoringOptions changed) => throw new NotSupportedException();

    internal override IReadOnlyList<TensorInput> BindInputs(DataViewSchema schema) => [new TextInput(schema["Text"], converts)];

    internal override IReadOnlyList<OutputColumn> GetOutputColumns() =>
        [.. Session.Outputs.Values.Select(o => TensorColumn.Create(o.Name, o))];

    private protected override void SaveCore(ModelSaveContext context) => throw new NotSupportedException();

    private sealed class TextInput(DataViewSchema.Column column, bool converts)
        : TensorInput("x", TensorElementType.Float, [4], column.Index)
    {
        public override TensorRowReader CreateReader(DataViewRow source, int capacity) => new Reader(source, column, capacity, converts);
    }

    private sealed class Reader(DataViewRow source, DataViewSchema.Column column, int capacity, bool converts) : TensorRowReader
    {
        private readonly ValueGetter<ReadOnlyMemory<char>> _getter = source.GetGetter<ReadOnlyMemory<char>>(column);
        private readonly ReadOnlyMemory<char>[] _texts = new ReadOnlyMemory<char>[capacity];

        public override bool Converts => converts;

        public override void Read(int slot, Span<byte> destination)
        {
            _getter(ref _texts[slot]);
            if (!converts)
                Parse(slot, destination);
        }

        public override void Convert(int slot, Span<byte> destination) => Parse(slot, destination);

        private void Parse(int slot, Span<byte> destination)
        {
            if (!float.TryParse(_texts[slot].Span, out float number))
                throw new FormatException($"column '{column.Name}': '{_texts[slot]}' is not a number");
            MemoryMarshal.Cast<byte, float>(destination).Fill(number);
        }
    }
}
