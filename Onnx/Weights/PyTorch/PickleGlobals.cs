using System.Collections.Frozen;
using System.Text;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Weights.PyTorch;

/// <summary>Something that a pickle may call.</summary>
internal sealed record PickleFunction(string Name, Func<object?[], object?> Body)
{
    public object? Call(object?[] arguments) => Body(arguments);
}

/// <summary>A class of storages, such as <c>torch.FloatStorage</c>.</summary>
/// <param name="Type">The type of its elements; null for bytes whose type the tensor tells.</param>
internal sealed record StorageType(TensorElementType? Type);

/// <summary>An element type of numpy: only its code, such as <c>f8</c>.</summary>
internal sealed record NumpyType(string Code);

/// <summary>A number of numpy as its bytes. Training scripts leave such accuracies beside the weights.</summary>
internal sealed record NumpyScalar(NumpyType Type, byte[] Bytes);

/// <summary>
/// All the Python names that a checkpoint may use, with what stands for them here. None of them runs Python code, opens a file or
/// imports anything.
/// </summary>
internal static class PickleGlobals
{
    private static readonly (string Storage, string Type, TensorElementType Element)[] ElementTypes =
    [
        ("Float", "float32", TensorElementType.Float),
        ("Double", "float64", TensorElementType.Double),
        ("Half", "float16", TensorElementType.Float16),
        ("BFloat16", "bfloat16", TensorElementType.BFloat16),
        ("Long", "int64", TensorElementType.Int64),
        ("Int", "int32", TensorElementType.Int32),
        ("Short", "int16", TensorElementType.Int16),
        ("Char", "int8", TensorElementType.Int8),
        ("Byte", "uint8", TensorElementType.UInt8),
        ("Bool", "bool", TensorElementType.Bool),
        ("UInt16", "uint16", TensorElementType.UInt16),
        ("UInt32", "uint32", TensorElementType.UInt32),
        ("UInt64", "uint64", TensorElementType.UInt64),
    ];

    private static readonly FrozenDictionary<string, object> Known = CreateKnown();

    /// <summary>What stands for a Python name.</summary>
    /// <exception cref="InvalidDataException">The name is not one of those that weights need.</exception>
    public static object Find(string name) => Known.TryGetValue(name, out var known) ? known : throw Refused(name);

    /// <summary>The error that ends the reading of a pickle that asks for something else.</summary>
    public static InvalidDataException Refused(string name) => new(
        $"its pickle asks for the Python object '{name}', which is neither a tensor nor a plain container; nothing was executed. "
        + "If you trust the file, save its weights alone in Python: torch.save(model.state_dict(), path)");

    private static FrozenDictionary<string, object> CreateKnown()
    {
        var known = new Dictionary<string, object>
        {
            ["torch.storage.UntypedStorage"] = new StorageType(null),
        };
        foreach (var (storage, type, element) in ElementTypes)
        {
            known[$"torch.{storage}Storage"] = new StorageType(element);
            known[$"torch.{type}"] = element;
        }
        foreach (var (name, function) in Functions())
            known[name] = new PickleFunction(name, function);
        return known.ToFrozenDictionary();
    }

    private static IEnumerable<(string Name, Func<object?[], object?> Function)> Functions()
    {
        yield return ("torch._utils._rebuild_tensor", Tensor);
        yield return ("torch._utils._rebuild_tensor_v2", Tensor);
        yield return ("torch._utils._rebuild_tensor_v3", TypedTensor);
        yield return ("torch._utils._rebuild_parameter", Parameter);
        yield return ("torch._utils._rebuild_parameter_with_state", Parameter);
        yield return ("torch.Size", arguments => arguments is [object?[] sizes] ? sizes : throw Misused("torch.Size"));
        yield return ("torch.device", arguments => arguments is [string device, ..] ? device : throw Misused("torch.device"));
        yield return ("collections.OrderedDict", arguments => arguments is []
            ? new PickleDictionary()
            : throw Misused("collections.OrderedDict"));
        yield return ("collections.Counter", arguments => arguments is [PickleDictionary counts]
            ? counts
            : throw Misused("collections.Counter"));
        foreach (var module in new[] { "builtins", "__builtin__" })
        {
            foreach (var set in new[] { $"{module}.set", $"{module}.frozenset" })
                yield return (set, arguments => arguments is [List<object?> values] ? values : throw Misused(set));
        }
        // Protocol 2 has no bytes: Python writes them as text of the same code points.
        yield return ("_codecs.encode", arguments => arguments is [string text, "latin1"]
            ? Encoding.Latin1.GetBytes(text)
            : throw Misused("_codecs.encode"));
        yield return ("numpy.dtype", arguments => arguments is [string code, ..] && IsNumber(code)
            ? new NumpyType(code)
            : throw Misused("numpy.dtype"));
        foreach (var scalar in new[] { "numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar" })
        {
            yield return (scalar, arguments => arguments is [NumpyType type, byte[] bytes]
                ? new NumpyScalar(type, bytes)
                : throw Misused(scalar));
        }
    }

    private static bool IsNumber(string code) => code is [('f' or 'i' or 'u' or 'b'), >= '1' and <= '8'];

    private static StridedTensor Tensor(object?[] arguments) =>
        arguments is [Storage { Type: { } type } storage, long offset, object?[] sizes, object?[] strides, ..]
            ? StridedTensor.Create(storage, type, offset, sizes, strides)
            : throw Misused("torch._utils._rebuild_tensor_v2");

    private static StridedTensor TypedTensor(object?[] arguments) =>
        arguments is [Storage storage, long offset, object?[] sizes, object?[] strides, _, _, TensorElementType type, ..]
            ? StridedTensor.Create(storage, type, offset, sizes, strides)
            : throw Misused("torch._utils._rebuild_tensor_v3");

    private static StridedTensor Parameter(object?[] arguments) =>
        arguments is [StridedTensor tensor, ..] ? tensor : throw Misused("torch._utils._rebuild_parameter");

    private static InvalidDataException Misused(string function) => new($"its pickle calls '{function}' with arguments that it does not take");
}
