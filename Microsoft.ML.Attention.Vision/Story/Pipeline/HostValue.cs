using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Vision;

/// <summary>Numbers in host memory in the type that a model wants them in.</summary>
internal static class HostValue
{
    public static OrtValue Of(ReadOnlySpan<float> values, TensorElementType type, params long[] dims)
    {
        var result = OrtValue.CreateAllocatedTensorValue(OrtAllocator.DefaultInstance, type, dims);
        switch (type)
        {
            case TensorElementType.Float:
                values.CopyTo(result.GetTensorMutableDataAsSpan<float>());
                break;
            case TensorElementType.Float16:
                var halves = result.GetTensorMutableDataAsSpan<Float16>();
                for (var i = 0; i < values.Length; i++)
                    halves[i] = (Float16)values[i];
                break;
            case TensorElementType.Int64:
                var longs = result.GetTensorMutableDataAsSpan<long>();
                for (var i = 0; i < values.Length; i++)
                    longs[i] = (long)values[i];
                break;
            case TensorElementType.Int32:
                var ints = result.GetTensorMutableDataAsSpan<int>();
                for (var i = 0; i < values.Length; i++)
                    ints[i] = (int)values[i];
                break;
            default:
                result.Dispose();
                throw new NotSupportedException($"The model wants {type} where float, half or integer tensors are expected.");
        }
        return result;
    }

    /// <summary>The numbers of a tensor of floats or halves.</summary>
    public static float[] Read(OrtValue value)
    {
        var numbers = new float[value.GetTensorTypeAndShape().ElementCount];
        Read(value, numbers);
        return numbers;
    }

    /// <summary>Reads a tensor of floats or halves.</summary>
    public static void Read(OrtValue value, Span<float> destination)
    {
        if (value.GetTensorTypeAndShape().ElementDataType == TensorElementType.Float)
        {
            value.GetTensorDataAsSpan<float>().CopyTo(destination);
            return;
        }
        var halves = value.GetTensorDataAsSpan<Float16>();
        for (var i = 0; i < halves.Length; i++)
            destination[i] = (float)halves[i];
    }
}
