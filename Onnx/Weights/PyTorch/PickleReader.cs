using System.Buffers.Binary;
using System.Numerics;
using System.Text;

namespace Microsoft.ML.Attention.Onnx.Weights.PyTorch;

/// <summary>
/// Reads a pickle (protocols 2 to 5) of plain values. A pickle is a program for a small stack machine; this machine has no instruction
/// that imports or calls: a global name gives what <see cref="PickleGlobals"/> has under it, and any other name ends the reading.
/// <para>Python's values become: None null, numbers bool, long, <see cref="BigInteger"/> and double, str string, bytes byte[], tuples
/// object[], lists and sets List, dictionaries <see cref="PickleDictionary"/>.</para>
/// </summary>
/// <param name="data">The pickle.</param>
/// <param name="load">Gives the object outside the pickle that a persistent identifier stands for.</param>
internal sealed class PickleReader(byte[] data, Func<object?, object> load)
{
    private const int LargestStack = 1 << 20;
    private const int NewestProtocol = 5;

    private readonly Stack<object?> _stack = new();
    private readonly Dictionary<long, object?> _memo = [];
    private int _position;

    // Marks lie on the stack between values.
    private static readonly object Mark = new();

    /// <exception cref="InvalidDataException">The pickle is damaged, or asks for something that is not a plain value or tensor.</exception>
    public object? Read()
    {
        if (data.Length < 2 || data[0] != 0x80)
            throw new InvalidDataException("its pickle is not of protocol 2 or newer");
        while (true)
        {
            var instruction = Byte();
            if (instruction == (byte)'.')
                return Pop();
            Execute(instruction);
            if (_stack.Count > LargestStack)
                throw new InvalidDataException($"its pickle puts more than {LargestStack} values on the stack");
        }
    }

    private void Execute(byte instruction)
    {
        switch ((char)instruction)
        {
            case '\x80': // PROTO
                if (Byte() is var protocol && protocol is < 2 or > NewestProtocol)
                    throw new InvalidDataException($"its pickle is of protocol {protocol}, not one of 2 to {NewestProtocol}");
                break;
            case '\x95': // FRAME
                Bytes(sizeof(long));
                break;
            case '(': // MARK
                _stack.Push(Mark);
                break;
            case 'N': // NONE
                _stack.Push(null);
                break;
            case '\x88': // NEWTRUE
                _stack.Push(true);
                break;
            case '\x89': // NEWFALSE
                _stack.Push(false);
                break;
            case 'K': // BININT1
                _stack.Push((long)Byte());
                break;
            case 'M': // BININT2
                _stack.Push((long)BinaryPrimitives.ReadUInt16LittleEndian(Bytes(sizeof(ushort))));
                break;
            case 'J': // BININT
                _stack.Push((long)BinaryPrimitives.ReadInt32LittleEndian(Bytes(sizeof(int))));
                break;
            case '\x8a': // LONG1
                _stack.Push(Integer(Bytes(Byte())));
                break;
            case 'G': // BINFLOAT
                _stack.Push(BinaryPrimitives.ReadDoubleBigEndian(Bytes(sizeof(double))));
                break;
            case '\x8c': // SHORT_BINUNICODE
                _stack.Push(Text(Byte()));
                break;
            case 'X': // BINUNICODE
                _stack.Push(Text(Length(sizeof(int))));
                break;
            case '\x8d': // BINUNICODE8
                _stack.Push(Text(Length(sizeof(long))));
                break;
            case 'U': // SHORT_BINSTRING, text of Python 2
                _stack.Push(Text(Byte()));
                break;
            case 'T': // BINSTRING
                _stack.Push(Text(Length(sizeof(int))));
                break;
            case 'C': // SHORT_BINBYTES
                _stack.Push(Bytes(Byte()).ToArray());
                break;
            case 'B': // BINBYTES
                _stack.Push(Bytes(Length(sizeof(int))).ToArray());
                break;
            case '\x8e' or '\x96': // BINBYTES8, BYTEARRAY8
                _stack.Push(Bytes(Length(sizeof(long))).ToArray());
                break;
            case ')': // EMPTY_TUPLE
                _stack.Push(Array.Empty<object?>());
                break;
            case '\x85': // TUPLE1
                _stack.Push(Values(1));
                break;
            case '\x86': // TUPLE2
                _stack.Push(Values(2));
                break;
            case '\x87': // TUPLE3
                _stack.Push(Values(3));
                break;
            case 't': // TUPLE
                _stack.Push(ValuesToMark());
                break;
            case ']' or '\x8f': // EMPTY_LIST, EMPTY_SET
                _stack.Push(new List<object?>());
                break;
            case '\x91': // FROZENSET
                _stack.Push(ValuesToMark().ToList());
                break;
            case 'a': // APPEND
                Extend(Values(1));
                break;
            case 'e' or '\x90': // APPENDS, ADDITEMS
                Extend(ValuesToMark());
                break;
            case '}': // EMPTY_DICT
                _stack.Push(new PickleDictionary());
                break;
            case 's': // SETITEM
                SetItems(Values(2));
                break;
            case 'u': // SETITEMS
                SetItems(ValuesToMark());
                break;
            case 'q': // BINPUT
                _memo[Byte()] = Peek();
                break;
            case 'r': // LONG_BINPUT
                _memo[BinaryPrimitives.ReadUInt32LittleEndian(Bytes(sizeof(uint)))] = Peek();
                break;
            case '\x94': // MEMOIZE
                _memo[_memo.Count] = Peek();
                break;
            case 'h': // BINGET
                _stack.Push(Recall(Byte()));
                break;
            case 'j': // LONG_BINGET
                _stack.Push(Recall(BinaryPrimitives.ReadUInt32LittleEndian(Bytes(sizeof(uint)))));
                break;
            case 'c': // GLOBAL
                _stack.Push(PickleGlobals.Find($"{Line()}.{Line()}"));
                break;
            case '\x93': // STACK_GLOBAL
                _stack.Push(Values(2) is [string module, string name]
                    ? PickleGlobals.Find($"{module}.{name}")
                    : throw new InvalidDataException("its pickle asks for a Python object whose name is not text"));
                break;
            case 'i': // INST
                throw PickleGlobals.Refused($"{Line()}.{Line()}");
            case 'R' or '\x81': // REDUCE, NEWOBJ
                _stack.Push(Values(2) is [PickleFunction function, object?[] arguments]
                    ? function.Call(arguments)
                    : throw new InvalidDataException("its pickle calls something that cannot be called"));
                break;
            case 'b': // BUILD
                Build(Pop(), Peek());
                break;
            case 'Q': // BINPERSID
                _stack.Push(load(Pop()));
                break;
            default:
                throw new InvalidDataException($"its pickle has the instruction 0x{instruction:X2}, which plain values do not need");
        }
    }

    private byte Byte() => Bytes(1)[0];

    private ReadOnlySpan<byte> Bytes(int count)
    {
        if (count > data.Length - _position)
            throw new InvalidDataException($"its pickle ends after {data.Length} bytes in the middle of a value");
        var bytes = data.AsSpan(_position, count);
        _position += count;
        return bytes;
    }

    private int Length(int size)
    {
        var bytes = Bytes(size);
        var length = size == sizeof(int) ? BinaryPrimitives.ReadUInt32LittleEndian(bytes) : BinaryPrimitives.ReadUInt64LittleEndian(bytes);
        return length <= (ulong)data.Length
            ? (int)length
            : throw new InvalidDataException($"its pickle of {data.Length} bytes has a value of {length}");
    }

    private string Text(int length) => Encoding.UTF8.GetString(Bytes(length));

    private string Line()
    {
        var length = data.AsSpan(_position).IndexOf((byte)'\n');
        if (length < 0)
            throw new InvalidDataException("its pickle ends in the middle of a name");
        var line = Text(length);
        _position++;
        return line;
    }

    private static object Integer(ReadOnlySpan<byte> bytes)
    {
        var integer = new BigInteger(bytes);
        return integer >= long.MinValue && integer <= long.MaxValue ? (object)(long)integer : integer;
    }

    private object? Peek() => _stack.TryPeek(out var value) && value != Mark
        ? value
        : throw new InvalidDataException("its pickle uses a value that is not on the stack");

    private object? Pop()
    {
        var value = Peek();
        _stack.Pop();
        return value;
    }

    private object?[] Values(int count)
    {
        var values = new object?[count];
        for (var i = count - 1; i >= 0; i--)
            values[i] = Pop();
        return values;
    }

    private object?[] ValuesToMark()
    {
        var values = new List<object?>();
        while (_stack.TryPop(out var value))
        {
            if (value == Mark)
            {
                values.Reverse();
                return [.. values];
            }
            values.Add(value);
        }
        throw new InvalidDataException("its pickle closes a container that it did not open");
    }

    private object? Recall(long key) => _memo.TryGetValue(key, out var value)
        ? value
        : throw new InvalidDataException($"its pickle recalls value {key}, which it did not store");

    private void Extend(object?[] values)
    {
        if (Peek() is not List<object?> list)
            throw new InvalidDataException("its pickle appends to something that is not a list");
        list.AddRange(values);
    }

    private void SetItems(object?[] values)
    {
        if (Peek() is not PickleDictionary dictionary || values.Length % 2 != 0)
            throw new InvalidDataException("its pickle sets items of something that is not a dictionary");
        for (var i = 0; i < values.Length; i += 2)
            dictionary.Items.Add(new(values[i], values[i + 1]));
    }

    // Attributes of dictionaries (PyTorch keeps versions of modules there) and the byte order of numpy's types: nothing that is needed.
    private static void Build(object? state, object? target)
    {
        if (target is not (PickleDictionary or NumpyType) || state is not (PickleDictionary or object?[]))
            throw new InvalidDataException("its pickle sets attributes of something other than a dictionary");
    }
}

/// <summary>A dictionary of a pickle, in the order in which it was filled.</summary>
internal sealed class PickleDictionary
{
    public List<KeyValuePair<object?, object?>> Items { get; } = [];

    /// <summary>The entries whose keys are text; of several under one key the last.</summary>
    public Dictionary<string, object?> Named()
    {
        var named = new Dictionary<string, object?>(StringComparer.Ordinal);
        foreach (var (key, value) in Items)
        {
            if (key is string name)
                named[name] = value;
        }
        return named;
    }
}
