using System.Globalization;
using System.Reflection;
using Microsoft.ML.Data;
using Microsoft.ML.Data.IO;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Attention;

/// <summary>
/// The classes that a classifier was trained on, in the order of its scores: a key type and, where the label had them, the key's values.
/// </summary>
internal sealed class ClassLabels
{
    private readonly IHost _host;
    private readonly VectorDataViewType? _valuesType;
    private readonly object? _values;

    private ClassLabels(IHost host, int count, VectorDataViewType? valuesType, object? values)
    {
        _host = host;
        Count = count;
        _valuesType = valuesType;
        _values = values;
    }

    /// <summary>The number of classes.</summary>
    public int Count { get; }

    /// <summary>The type of a predicted label: a key from 1 to <see cref="Count"/>, 0 for missing.</summary>
    public KeyDataViewType KeyType => new(typeof(uint), Count);

    /// <summary>Takes the classes from the label column that a trainer gets.</summary>
    /// <exception cref="InvalidOperationException">The column is not a key.</exception>
    public static ClassLabels FromColumn(IHost host, DataViewSchema.Column column)
    {
        if (column.Type is not KeyDataViewType key)
            throw new InvalidOperationException($"Label column '{column.Name}' is of type {column.Type}; a classifier needs a key: "
                + "map it with mlContext.Transforms.Conversion.MapValueToKey.");
        int count = checked((int)key.Count);
        var annotation = column.Annotations.Schema.GetColumnOrNull(AnnotationUtils.Kinds.KeyValues);
        if (annotation is not { Type: VectorDataViewType type } || type.Size != count)
            return new(host, count, null, null);
        return new(host, count, type, Invoke<object>(nameof(ReadValues), type, column.Annotations, annotation.Value));
    }

    /// <summary>Classes with names.</summary>
    public static ClassLabels FromNames(IHost host, IReadOnlyList<string> names)
    {
        var values = new VBuffer<ReadOnlyMemory<char>>(names.Count, names.Select(n => n.AsMemory()).ToArray());
        return new(host, names.Count, new(TextDataViewType.Instance, names.Count), values);
    }

    public static ClassLabels Load(IHost host, ModelLoadContext context)
    {
        int count = context.Reader.ReadInt32();
        if (!context.Reader.ReadBoolean())
            return new(host, count, null, null);
        if (!new BinarySaver(host, new BinarySaver.Arguments()).TryLoadTypeAndValue(context.Reader.BaseStream, out var type, out var value))
            throw new FormatException("The class labels of the saved model cannot be read: the model file is damaged.");
        return new(host, count, (VectorDataViewType)type, value);
    }

    public void Save(ModelSaveContext context)
    {
        context.Writer.Write(Count);
        context.Writer.Write(_values is not null);
        context.Writer.Flush();
        if (_values is not null)
            Invoke<object?>(nameof(WriteValues), _valuesType!, context.Writer.BaseStream, _host, _valuesType!, _values);
    }

    /// <summary>Annotates a key column with the classes, as <see cref="AnnotationUtils.Kinds.KeyValues"/>.</summary>
    public void AddKeyValues(DataViewSchema.Annotations.Builder annotations) => AddValues(annotations, AnnotationUtils.Kinds.KeyValues);

    /// <summary>Annotates a score column, as ML.NET's classifiers do: slot names and the labels trained on.</summary>
    public void AddSlotNames(DataViewSchema.Annotations.Builder annotations)
    {
        if (_values is null)
            return;
        var names = Names();
        annotations.AddSlotNames(Count, (ref VBuffer<ReadOnlyMemory<char>> destination) => names.CopyTo(ref destination));
        AddValues(annotations, AnnotationUtils.Kinds.TrainingLabelValues);
    }

    /// <summary>The classes as text; empty where the label had no key values.</summary>
    public VBuffer<ReadOnlyMemory<char>> Names() =>
        _values is null ? default : Invoke<VBuffer<ReadOnlyMemory<char>>>(nameof(ToText), _valuesType!, _values);

    /// <summary>Calls a static generic method of this class with the type of the values.</summary>
    private static TResult Invoke<TResult>(string method, VectorDataViewType type, params object[] arguments) =>
        (TResult)typeof(ClassLabels).GetMethod(method, BindingFlags.NonPublic | BindingFlags.Static)!
            .MakeGenericMethod(type.ItemType.RawType).Invoke(null, arguments)!;

    private static object ReadValues<T>(DataViewSchema.Annotations annotations, DataViewSchema.Column column)
    {
        VBuffer<T> values = default;
        annotations.GetGetter<VBuffer<T>>(column)(ref values);
        return values;
    }

    private static object? WriteValues<T>(Stream stream, IHost host, DataViewType type, VBuffer<T> values)
    {
        if (!new BinarySaver(host, new BinarySaver.Arguments()).TryWriteTypeAndValue(stream, type, ref values, out _))
            throw new NotSupportedException($"Class labels of type {type} cannot be saved: map them to text before MapValueToKey.");
        return null;
    }

    private static VBuffer<ReadOnlyMemory<char>> ToText<T>(VBuffer<T> values)
    {
        var text = values.DenseValues()
            .Select(v => v is ReadOnlyMemory<char> chars ? chars : Convert.ToString(v, CultureInfo.InvariantCulture).AsMemory());
        return new(values.Length, text.ToArray());
    }

    private static object? Add<T>(DataViewSchema.Annotations.Builder annotations, string kind, VectorDataViewType type, VBuffer<T> values)
    {
        annotations.Add(kind, type, (ValueGetter<VBuffer<T>>)((ref VBuffer<T> destination) => values.CopyTo(ref destination)));
        return null;
    }

    private void AddValues(DataViewSchema.Annotations.Builder annotations, string kind)
    {
        if (_values is not null)
            Invoke<object?>(nameof(Add), _valuesType!, annotations, kind, _valuesType!, _values);
    }
}
